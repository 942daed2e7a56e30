import type { TokenBucket } from "../../clock/token-bucket.ts";
import type { CloseReason } from "../../status/close.ts";
import type { BatchEncoding } from "../../wire/batch-frame.ts";
import type { SharedFrame } from "../../wire/shared-frame.ts";
import type { SessionState } from "../session/session-state.ts";
import type { Since } from "./channel-log.ts";
import type { Feed } from "./feed.ts";
import type { Parcel } from "./parcel.ts";

/** What rooms need of a session. */
export interface RoomSession {
  readonly app: string;
  readonly state: SessionState;
  /** Replaced, never changed, when a room is joined or left. */
  rooms: readonly string[];
  /** Its places in rooms, their zones and the broadcasts of its app. */
  members: Member[];
  /** How its client reads batches. Undefined: it does not, nor the frames that came with them. */
  readonly batching: BatchEncoding | undefined;
  /** How often a join of it may still have the stream asked; undefined until one does. */
  askingJoins: TokenBucket | undefined;
  /** Whether messages of its rooms may be given to it now. They are never queued for it. */
  readonly clear: boolean;
  readonly transport: { readonly buffered: number };
  /** Messages of one of its rooms, written at once. Only while it is `clear`. */
  give(parcel: Parcel): void;
  /** A frame of the protocol's own. */
  send(frame: SharedFrame): void;
  end(reason: CloseReason, detail?: string): void;
  fault(error: unknown): void;
  /** Has the log told of its rooms. */
  roomsChanged(): void;
}

/** A session in a channel, and how far it has been given what was sent there. */
export class Member {
  readonly session: RoomSession;
  readonly feed: Feed;
  /**
   * It has been given everything up to here. Undefined until it is admitted: nothing is sent to it
   * before it was told where it stands.
   */
  cursor: number | undefined = undefined;
  /** Where it wants to begin; until it is admitted. */
  since: Since | undefined;
  /** Its socket took no more, and it has not caught up since. */
  slow = false;
  /** By how many of its rooms it hears this zone. */
  holds = 1;

  constructor(session: RoomSession, feed: Feed, since: Since) {
    this.session = session;
    this.feed = feed;
    this.since = since;
  }
}
