import { type JetStreamManager, jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { CHANNEL_MESSAGES_KEPT, ROOM_STREAM } from "../../streams/layout.ts";
import { type Channel, channelInSubject } from "../../streams/subjects.ts";
import type { Connection } from "./connect.ts";
import type {
  ChannelHistory,
  ChannelNewest,
  ChannelPast,
  Past,
  StreamPosition,
} from "./contract.ts";
import { isNothingFound, natsError } from "./nats-errors.ts";

/** What one read asks for at most. */
const PAGE_MESSAGES = 256;
const PAGE_BYTES = 524_288;

/** The room stream's memory. */
export class NatsChannelHistory implements ChannelHistory {
  readonly #jsm: JetStreamManager;
  #asking: Promise<StreamInfo> | undefined;
  #askingNext: Promise<StreamInfo> | undefined;

  private constructor(jsm: JetStreamManager) {
    this.#jsm = jsm;
  }

  static async open({ nc }: Connection): Promise<NatsChannelHistory> {
    return new NatsChannelHistory(await jetstreamManager(nc, { checkAPI: false }));
  }

  async state(): Promise<StreamPosition> {
    return positionOf(await this.#infoFromNowOn());
  }

  async newest(channel: Channel): Promise<ChannelNewest> {
    // First the stream, then the channel: what is sent in between is above the one, and seen by the other.
    const position = await this.state();
    try {
      const subject = channelInSubject(channel);
      // Of the leader: a copy may lag behind.
      const last = await this.#jsm.streams.getMessage(ROOM_STREAM, { last_by_subj: subject });
      return { ...position, newest: last?.seq ?? 0 };
    } catch (reason) {
      throw natsError("cannot read the newest message of a channel", reason);
    }
  }

  async read(channel: Channel, after: number): Promise<ChannelPast> {
    try {
      const { messages, waiting } = await this.#batch(channelInSubject(channel), after);
      // After the batch: what went out of the stream meanwhile counts as gone.
      const info = await this.#infoFromNowOn();
      const { first_seq: first, last_seq: last } = info.state;
      // Below the first everything is gone; and of a channel that is full, its oldest. Beyond the end:
      // the stream was made anew, and these are positions of another one.
      const kept = messages.length + waiting < CHANNEL_MESSAGES_KEPT;
      const whole = after + 1 >= first && after <= last && kept;
      return { epoch: positionOf(info).epoch, messages, whole, more: waiting > 0 };
    } catch (reason) {
      throw natsError("cannot read the history of a channel", reason);
    }
  }

  async #batch(subject: string, after: number): Promise<{ messages: Past[]; waiting: number }> {
    const messages: Past[] = [];
    let waiting = 0;
    try {
      const batch = await this.#jsm.direct.getBatch(ROOM_STREAM, {
        seq: after + 1,
        next_by_subj: subject,
        batch: PAGE_MESSAGES,
        max_bytes: PAGE_BYTES,
      });
      for await (const { seq, data, pending } of batch) {
        messages.push({ position: seq, data });
        waiting = pending;
      }
    } catch (reason) {
      if (!isNothingFound(reason)) throw reason;
    }
    return { messages, waiting };
  }

  /**
   * The stream at some time after this call. Questions that come while one is on its way share the
   * next: a node that opens thousands of rooms at once asks a few times.
   */
  #infoFromNowOn(): Promise<StreamInfo> {
    if (this.#asking === undefined) {
      this.#asking = this.#info().finally(() => {
        this.#asking = undefined;
      });
      return this.#asking;
    }
    const ask = () => {
      this.#askingNext = undefined;
      return this.#infoFromNowOn();
    };
    this.#askingNext ??= this.#asking.then(ask, ask);
    return this.#askingNext;
  }

  async #info(): Promise<StreamInfo> {
    try {
      return await this.#jsm.streams.info(ROOM_STREAM);
    } catch (reason) {
      throw natsError("cannot read the state of the room stream", reason);
    }
  }
}

function positionOf({ created, state }: StreamInfo): StreamPosition {
  return { epoch: Date.parse(created), last: state.last_seq };
}
