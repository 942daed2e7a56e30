/**
 * What the roles need of NATS. The adapters beside this file give it on a real server; the
 * simulation (test/sim) gives it in memory, with delays, losses and crashes chosen by a seed.
 *
 * Callbacks rather than promises: these run once a message, and a promise each would cost more
 * than the work.
 */
import type { Receipt } from "../../streams/records.ts";
import type { Channel } from "../../streams/subjects.ts";
import type { HoldfastError } from "../status/errors.ts";

/** Appends to JetStream through one window of unacknowledged messages. */
export interface Appender {
  /**
   * Appends in call order. What a reconnect lost is sent again, in order, until it is stored, so
   * a record may be stored twice; `stored` is called once, with the stream sequence. Never called
   * after `discard`.
   */
  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions): void;
  /**
   * Appends only if nothing was ever stored on this subject. `done(true)` once it was stored by this
   * call, `done(false)` when somebody had stored it before. For records that must appear once.
   */
  appendFirst(subject: string, payload: Uint8Array, done?: (stored: boolean) => void): void;
  /** False while more waits than the bound: take on no new work until it is true again. */
  readonly ready: boolean;
  /** Messages not yet stored. */
  readonly backlog: number;
  /** For how long the oldest of them has been waiting, 0 when there is none. */
  readonly oldestAgeMs: number;
  /** Sends nothing until `release`; appends are kept. */
  hold(): void;
  release(): void;
  /** Drops everything not yet stored. */
  discard(): void;
}

/** `duplicate`: somebody had stored a message of the same Nats-Msg-Id before, at this sequence. */
export type Stored = (sequence: number, duplicate: boolean) => void;

export interface AppendOptions {
  /** Such as Nats-Msg-Id or Nats-TTL. */
  headers?: Readonly<Record<string, string>>;
  /**
   * Called instead of `stored` when the message will not be taken: `invalid` if it is too large,
   * `exhausted` if its subject is full, `unavailable` with `refuseWhenFull`.
   */
  refused?: (why: HoldfastError) => void;
  /** A stream without room for it refuses it. Without, it is kept and tried again until there is room. */
  refuseWhenFull?: boolean;
  /** Whose message it is, for `forget`. */
  owner?: object;
}

/**
 * Appends for many keys (devices) and owners (of partitions). Messages of one key are never in flight
 * together: after a rejection, what was in flight behind it may be stored before it, and the stream
 * drops the second copy that would put it right when messages carry a Nats-Msg-Id.
 */
export interface KeyedAppender {
  /** In order for each key, as `Appender.append`. */
  append(
    key: string,
    subject: string,
    payload: Uint8Array,
    stored: Stored,
    options: AppendOptions & Required<Pick<AppendOptions, "refused">>,
  ): void;
  /** False while more waits than the bound. */
  readonly ready: boolean;
  /** Messages not yet stored. */
  readonly backlog: number;
  /** Nothing that was appended with this `owner` is sent (again), and it is told nothing. */
  forget(owner: object): void;
}

/** Reads the log of one partition in order. */
export interface LogReader {
  /**
   * Delivers every record of the partition with a sequence above `after`, in order, each once.
   * `lost` is called when order can no longer be given (the log was cut below `after`, the stream
   * was remade); nothing is delivered after it.
   */
  read(partition: number, after: number, handler: LogHandler): Reading;
  /** The sequence of the newest record of the partition, 0 when there is none. */
  lastSequence(partition: number): Promise<number>;
  /**
   * False if the broker has lost this record, and its sequence with it: it is not given yet, or again.
   * A record that was only deleted, as the oldest are, is not lost in this sense.
   */
  holds(partition: number, sequence: number, storedAtMs: number): Promise<boolean>;
}

/** Which access nodes the log says are over. */
export interface NodeDeaths {
  /**
   * Whether the log holds a record that says so in any partition. Asks the leaders, since a copy may
   * be behind. Rejects when one does not answer.
   */
  isDead(incarnation: string): Promise<boolean>;
}

export interface LogHandler {
  /** `storedAtMs`: when the broker stored it, Unix ms. */
  record(sequence: number, data: Uint8Array, storedAtMs: number): void;
  lost(why: Error): void;
}

export interface Subscription {
  stop(): void;
}

export interface Reading extends Subscription {
  /** Gives nothing until `resume`. The server stops sending when it has sent a bounded amount. */
  pause(): void;
  resume(): void;
}

/** A key-value bucket whose writes carry the revision they expect to replace. */
export interface Bucket {
  get(key: string): Promise<Entry | undefined>;
  /** As `get`, but never a moment behind: asks the leader, which costs it more. */
  latest(key: string): Promise<Entry | undefined>;
  /** The newest entries of many keys, in the order asked; undefined where there is none. */
  getMany(keys: readonly string[]): Promise<(Entry | undefined)[]>;
  /** The newest entry of every key that matches a subject filter such as "3.>", or one of several. Deleted ones too. */
  list(filter: string | readonly string[]): AsyncIterable<Entry>;
  /**
   * Calls `changed` with the newest entry of every matching key, then with each change. Resolves
   * when the newest entries have all been given. Survives reconnects.
   */
  watch(filter: string, changed: (entry: Entry) => void): Promise<Subscription>;
  /**
   * Writes if the newest revision of the key is `expected` (0: the key has never been written).
   * Many may be in flight, but of one writer only one for a key.
   */
  put(key: string, value: Uint8Array, expected: number, done: (outcome: PutOutcome) => void): void;
  delete(key: string, expected: number, done: (outcome: PutOutcome) => void): void;
}

export interface Entry {
  key: string;
  /** undefined: deleted, and the deletion has a revision too. */
  value: Uint8Array | undefined;
  revision: number;
}

export type PutOutcome =
  /** Stored as this revision. */
  | { kind: "stored"; revision: number }
  /** Somebody else has written the key since: this writer is no longer its owner. */
  | { kind: "conflict" }
  /** No answer; it may or may not have been stored. */
  | { kind: "unknown" };

/** Plain messages, at most once. */
export interface Messages {
  publish(subject: string, payload: Uint8Array, replyTo?: string): void;
  /** `queue`: members of one queue group share the messages. */
  subscribe(
    subject: string,
    receive: (message: Received) => void,
    options?: { queue?: string },
  ): Subscription;
  /**
   * One question, one answer. Rejects with a HoldfastError: `unavailable` at once when nobody
   * listens, `timeout` after `timeoutMs`.
   */
  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
}

export interface Received {
  readonly subject: string;
  readonly data: Uint8Array;
  /** A NATS header, such as "Nats-Sequence" on what a stream republishes. */
  header(name: string): string | undefined;
  /** In place of an answer: nobody listens where the question was sent. */
  readonly noResponders: boolean;
  /** Does nothing when the sender wants no answer. */
  respond(payload: Uint8Array): void;
}

/**
 * What a channel (streams/subjects.ts) was sent lately, for those who were away for a moment. All
 * channels share one stream, and positions are its sequences. Each rejects when nobody answers.
 */
export interface ChannelHistory {
  /** Which stream it is, and how far it has come. */
  state(): Promise<StreamPosition>;
  /**
   * The channel's newest message, as the stream's leader knows it. Every message of the channel that is
   * sent from now on lies above `newest`, and above `last` when there is none.
   */
  newest(channel: Channel): Promise<ChannelNewest>;
  /**
   * The oldest messages above `after`, a page of them. Any copy of the stream may answer, and a copy may
   * lag behind: `exact` asks the leader, for one message.
   */
  read(channel: Channel, after: number, exact?: boolean): Promise<ChannelPast>;
}

export interface StreamPosition {
  /** Another one when the stream was lost and made anew: grows, and is never 0. */
  epoch: number;
  /** The newest sequence of whatever channel; 0 when there was never one. */
  last: number;
}

export interface ChannelNewest extends StreamPosition {
  /** 0 when the stream keeps none of the channel. */
  newest: number;
}

export interface ChannelPast {
  epoch: number;
  messages: Past[];
  /** Nothing of the channel above this position has gone out of the stream. */
  wholeFrom: number;
  /** There are more above these. */
  more: boolean;
}

export interface Past {
  position: number;
  data: Uint8Array;
}

/** Must-arrive messages that wait for their device. */
export interface Mailbox {
  /**
   * Stores a message. One of the two is called: `stored` with its place, or `refused` because the
   * device's mailbox is full (`exhausted`). Neither while JetStream takes nothing, or after `forget`.
   */
  put(mail: Mail, outcome: PutMail): void;
  /** Sends nothing (again) of this owner. What is on its way may still be stored, however late. */
  forget(owner: object): void;
  /** All of a partition, without the messages, in pages. Nobody may be writing to it. */
  list(partition: number): AsyncIterable<MailHeader[]>;
  /**
   * A device's messages at these places, by delivery sequence; what is not there any more is left
   * out. Rejects when nobody answers.
   */
  load(
    app: string,
    device: string,
    places: readonly number[],
  ): Promise<ReadonlyMap<number, Omit<Mail, "app" | "device">>>;
  /**
   * Deletes what is at these places if it is the device's: a broker that has lost its newest messages
   * gives their places to others. Rejects when nobody answers.
   */
  purge(app: string, device: string, places: readonly number[]): Promise<void>;
}

export interface PutMail {
  /** Whose message it is, for `forget`. */
  owner: object;
  stored(mailedAs: number): void;
  refused(why: HoldfastError): void;
}

/** What the mailbox says of a message besides the message. */
export interface MailHeader {
  app: string;
  device: string;
  /** The delivery sequence. */
  sequence: number;
  messageId: string;
  business: string;
  /** Unix ms. */
  acceptedAtMs: number;
  /** Unix ms. */
  expiresAtMs: number;
  /** Its sequence in the mail stream. */
  mailedAs: number;
  /** The length of the message. */
  bytes: number;
}

export interface Mail extends Omit<MailHeader, "mailedAs" | "bytes"> {
  /** Encoded holdfast.wire.v1.Message. */
  message: Uint8Array;
}

/** What became of must-arrive messages. */
export interface Receipts {
  /** Never waits and never fails: a receipt that is lost costs nobody a message. */
  write(receipt: Receipt): void;
  /** All that is known of a message, oldest first. Rejects when nobody answers. */
  read(app: string, messageId: string): Promise<Receipt[]>;
}

/** Streams as a whole. Every method rejects when nobody answers. */
export interface Streams {
  /** `subjects`: count the messages of each subject that matches. */
  state(stream: string, subjects?: string): Promise<StreamState>;
  /** The newest message of what matches, as the leader has it. */
  newest(stream: string, subject: string): Promise<(Past & { atMs: number }) | undefined>;
  /** How long the first message of the subject from this sequence on is, if there is one. */
  sizeAt(stream: string, subject: string, from: number): Promise<number | undefined>;
  /** How many messages match. */
  count(stream: string, filter: string): Promise<number>;
  /** The durable ones. */
  consumers(stream: string): Promise<ConsumerProgress[]>;
  /**
   * Deletes for good what is below a sequence, or the oldest of what matches but for so many. Resolves
   * to how many.
   */
  purge(
    stream: string,
    what: { below: number; subject?: string } | { subject: string; keep: number },
  ): Promise<number>;
}

export interface StreamState {
  messages: number;
  bytes: number;
  /** Not above 0: no bound. */
  maxBytes: number;
  firstSequence: number;
  lastSequence: number;
  /** Empty unless asked for. */
  subjects: ReadonlyMap<string, number>;
}

export interface ConsumerProgress {
  /** None: all that the stream has. */
  filters: readonly string[];
  /** It has handled all that it is given up to this sequence. */
  handled: number;
}

/** Whether the broker can be reached, as the client library sees it. */
export interface Link {
  readonly connected: boolean;
  /** Calls on every change. */
  watch(changed: (connected: boolean) => void): Subscription;
}
