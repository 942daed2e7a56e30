import type { Channel } from "../../../streams/subjects.ts";
import type { ChannelHistory, Messages, Subscription } from "../../bus/contract.ts";
import type { Session } from "../session/session.ts";
import { type ChannelMessage, channelMessage, subscribeChannel } from "./channel.ts";

/** What a member missed: undefined when it cannot be had any more. */
export interface Replay {
  /** The position of the newest message known; 0 when that could not be learnt. */
  newest: number;
  missed: ChannelMessage[] | undefined;
}

export interface RoomOptions {
  channel: Extract<Channel, { kind: "room" }>;
  messages: Messages;
  history: ChannelHistory;
  /** How many messages are replayed at most. */
  maxReplay: number;
  /** Called with each message before it goes to the members. */
  count: () => void;
  failed: (error: unknown) => void;
}

/** A room that has members on this node: their set, and the subscription that serves them all. */
export class Room {
  readonly id: string;
  /** The zone it is in, "" for none. */
  zone = "";
  readonly #members = new Set<Session>();
  readonly #options: RoomOptions;
  readonly #subscription: Subscription;
  /** Resolves when the newest position is known, as far as it can be. */
  readonly #opened: Promise<void>;
  #newest = 0;
  /** Members that wait for a replay, with what has come meanwhile; it must follow the replay. */
  readonly #waiting = new Map<Session, ChannelMessage[]>();
  /** Replays being fetched, by the position they start from: many members miss the same. */
  readonly #fetches = new Map<number, Promise<ChannelMessage[] | undefined>>();

  constructor(options: RoomOptions) {
    const { channel, messages, failed } = options;
    this.id = channel.id;
    this.#options = options;
    // First the subscription, then the question: what is sent after the answer arrives by the first.
    this.#subscription = subscribeChannel(messages, channel, (m) => this.#receive(m), failed);
    this.#opened = this.#learnNewest();
  }

  close(): void {
    this.#subscription.stop();
  }

  get members(): ReadonlySet<Session> {
    return this.#members;
  }

  /** Holds its messages back until `release`: they must come after what it missed. */
  add(session: Session): void {
    this.#members.add(session);
    if (!this.#waiting.has(session)) this.#waiting.set(session, []);
  }

  remove(session: Session): void {
    this.#members.delete(session);
    this.#waiting.delete(session);
  }

  /** What was held back, to be delivered by the caller. */
  release(session: Session): ChannelMessage[] {
    const held = this.#waiting.get(session) ?? [];
    this.#waiting.delete(session);
    return held;
  }

  /** What was sent since `position`; 0 asks for nothing but the newest position. Never rejects. */
  async replaySince(position: number): Promise<Replay> {
    await this.#opened;
    if (position === 0) return { newest: this.#newest, missed: undefined };
    if (position === this.#newest) return { newest: this.#newest, missed: [] };
    const missed = await this.#fetch(position);
    return { newest: this.#newest, missed };
  }

  #receive(message: ChannelMessage): void {
    this.#options.count();
    this.#newest = Math.max(this.#newest, message.position);
    for (const session of this.#members) {
      const held = this.#waiting.size === 0 ? undefined : this.#waiting.get(session);
      if (held === undefined) session.deliver(message.frame, message.priority);
      else held.push(message);
    }
  }

  async #learnNewest(): Promise<void> {
    const { history, failed } = this.#options;
    try {
      this.#newest = Math.max(this.#newest, await history.newest());
    } catch (error) {
      failed(error);
    }
  }

  #fetch(position: number): Promise<ChannelMessage[] | undefined> {
    let fetch = this.#fetches.get(position);
    if (fetch === undefined) {
      fetch = this.#fetchNow(position);
      this.#fetches.set(position, fetch);
    }
    return fetch;
  }

  async #fetchNow(position: number): Promise<ChannelMessage[] | undefined> {
    const { history, channel, maxReplay, failed } = this.#options;
    try {
      const past = await history.since(channel, position, maxReplay);
      return past?.map((message) => channelMessage(channel, message.position, message.data));
    } catch (error) {
      failed(error);
      return undefined;
    } finally {
      this.#fetches.delete(position);
    }
  }
}
