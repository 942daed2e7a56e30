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
const BATCH_TIMEOUT_MS = 5_000;

interface Page {
  messages: Past[];
  /** How many there are after these. */
  waiting: number;
}

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
      const last = await this.#ofLeader({ last_by_subj: subject });
      return { ...position, newest: last?.seq ?? 0 };
    } catch (reason) {
      throw natsError("cannot read the newest message of a channel", reason);
    }
  }

  async read(channel: Channel, after: number, exact = false): Promise<ChannelPast> {
    const subject = channelInSubject(channel);
    try {
      const { messages, waiting } = exact
        ? await this.#next(subject, after)
        : await this.#batch(subject, after);
      // After the batch: what went out of the stream meanwhile counts as gone.
      const info = await this.#infoFromNowOn();
      const { first_seq: first, last_seq: last } = info.state;
      const past = { epoch: positionOf(info).epoch, messages, more: waiting > 0 };
      // Beyond the end: the stream was made anew, and this is a position of another one.
      if (after > last) return { ...past, wholeFrom: Number.POSITIVE_INFINITY };
      // Below the first everything is gone; and of a channel that is full, all before the oldest.
      const full = messages.length + waiting >= CHANNEL_MESSAGES_KEPT;
      return { ...past, wholeFrom: full ? (messages[0]?.position ?? last) : first - 1 };
    } catch (reason) {
      throw natsError("cannot read the history of a channel", reason);
    }
  }

  /** From the leader: the next one, and how many there are at most after it. */
  async #next(subject: string, after: number): Promise<Page> {
    const next = await this.#ofLeader({ seq: after + 1, next_by_subj: subject });
    if (next === null) return { messages: [], waiting: 0 };
    const messages = [{ position: next.seq, data: next.data }];
    const last = await this.#ofLeader({ last_by_subj: subject });
    if ((last?.seq ?? 0) <= next.seq) return { messages, waiting: 0 };
    // Above the oldest that is left nothing is gone, however full the channel is.
    const oldest = await this.#ofLeader({ seq: 1, next_by_subj: subject });
    if ((oldest?.seq ?? 0) <= after) return { messages, waiting: 1 };
    const { state } = await this.#jsm.streams.info(ROOM_STREAM, { subjects_filter: subject });
    return { messages, waiting: Math.max(1, (state.subjects?.[subject] ?? 0) - 1) };
  }

  /** The server knows more queries than the client library's types. */
  #ofLeader(query: { seq: number; next_by_subj: string } | { last_by_subj: string }) {
    return this.#jsm.streams.getMessage(ROOM_STREAM, query);
  }

  /**
   * By callback, and with a time of its own: what the library gives as an iterator keeps its subscription
   * for ever, and never ends when the link breaks between two messages.
   */
  async #batch(subject: string, after: number): Promise<Page> {
    const messages: Past[] = [];
    let waiting = 0;
    const { promise: over, resolve, reject } = Promise.withResolvers<void>();
    const batch = await this.#jsm.direct.getBatch(ROOM_STREAM, {
      seq: after + 1,
      next_by_subj: subject,
      batch: PAGE_MESSAGES,
      max_bytes: PAGE_BYTES,
      callback: (done, { seq, data, pending }) => {
        if (done === null) {
          messages.push({ position: seq, data });
          waiting = pending;
        } else if (done.err === undefined) resolve();
        else reject(done.err);
      },
    });
    const late = setTimeout(() => batch.stop(new Error("timeout")), BATCH_TIMEOUT_MS);
    try {
      await over;
    } catch (reason) {
      if (!isNothingFound(reason)) throw reason;
    } finally {
      clearTimeout(late);
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
