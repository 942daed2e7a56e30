import { type JetStreamManager, jetstreamManager, type StreamState } from "@nats-io/jetstream";
import { CHANNEL_MESSAGES_KEPT, ROOM_STREAM } from "../../streams/layout.ts";
import { type Channel, channelInSubject } from "../../streams/subjects.ts";
import type { Connection } from "./connect.ts";
import type { ChannelHistory, Past } from "./contract.ts";
import { natsError } from "./nats-errors.ts";

/** The room stream's memory. Positions are its sequences. */
export class NatsChannelHistory implements ChannelHistory {
  readonly #jsm: JetStreamManager;
  #asking: Promise<StreamState> | undefined;
  #askingNext: Promise<StreamState> | undefined;

  private constructor(jsm: JetStreamManager) {
    this.#jsm = jsm;
  }

  static async open({ nc }: Connection): Promise<NatsChannelHistory> {
    return new NatsChannelHistory(await jetstreamManager(nc, { checkAPI: false }));
  }

  async newest(): Promise<number> {
    return (await this.#stateFromNowOn()).last_seq;
  }

  async since(channel: Channel, position: number, limit: number): Promise<Past[] | undefined> {
    try {
      const subject = channelInSubject(channel);
      // The leader knows the newest; any copy may answer the batch, and a copy may lag behind.
      const last = await this.#jsm.streams.getMessage(ROOM_STREAM, { last_by_subj: subject });
      const newest = last?.seq ?? 0;
      const past = newest > position ? await this.#batch(subject, position, limit + 1) : [];
      const behind = (past.at(-1)?.position ?? position) < newest;
      // After the batch: what went out of the stream meanwhile counts as gone.
      const kept = !behind && past.length <= limit && (await this.#allKept(position, past.length));
      return kept ? past : undefined;
    } catch (reason) {
      throw natsError("cannot read the history of a channel", reason);
    }
  }

  async #batch(subject: string, position: number, most: number): Promise<Past[]> {
    const batch = await this.#jsm.direct.getBatch(ROOM_STREAM, {
      seq: position + 1,
      next_by_subj: subject,
      batch: most,
    });
    const past: Past[] = [];
    for await (const { seq, data } of batch) past.push({ position: seq, data });
    return past;
  }

  /** Whether no message above `position` can have gone, of a channel that has `count` of them left. */
  async #allKept(position: number, count: number): Promise<boolean> {
    const { first_seq, last_seq } = await this.#stateFromNowOn();
    // Beyond the end: the stream was made anew since, and these are positions of another one.
    return position + 1 >= first_seq && position <= last_seq && count < CHANNEL_MESSAGES_KEPT;
  }

  /**
   * The state of the stream at some time after this call. Questions that come while one is on its
   * way share the next: a node that opens thousands of rooms at once asks a few times.
   */
  #stateFromNowOn(): Promise<StreamState> {
    if (this.#asking === undefined) {
      this.#asking = this.#state().finally(() => {
        this.#asking = undefined;
      });
      return this.#asking;
    }
    const ask = () => {
      this.#askingNext = undefined;
      return this.#stateFromNowOn();
    };
    this.#askingNext ??= this.#asking.then(ask, ask);
    return this.#askingNext;
  }

  async #state(): Promise<StreamState> {
    try {
      return (await this.#jsm.streams.info(ROOM_STREAM)).state;
    } catch (reason) {
      throw natsError("cannot read the state of the room stream", reason);
    }
  }
}
