/** What a run of rooms and its member processes say to each other. */
import type { Account, MemberReport } from "./account.ts";

export interface RoomMemberOptions {
  member: string;
  token: string;
  urls: readonly string[];
  room: string;
  random: () => number;
}

export interface RoomMember {
  readonly account: Account;
  /** In the room, as far as it knows. */
  readonly online: boolean;
  /** Its connection is reset, and it comes back after so long, or when it sees fit. */
  cut(awayMs: number): void;
}

export type RoomCrowd = {
  begin: {
    ask: {
      members: { member: string; token: string }[];
      urls: string[];
      room: string;
      seed: number;
      sdk: boolean;
    };
    answer: null;
  };
  /** Resets the connections of this share of the members every 5 s; 0: of none any more. */
  cut: { ask: { share: number }; answer: null };
  online: { ask: null; answer: { online: number; received: number } };
  report: { ask: null; answer: MemberReport[] };
};
