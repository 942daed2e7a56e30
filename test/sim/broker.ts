import type { Entry, PutOutcome } from "../../internal/bus/contract.ts";
import type { BucketName } from "../../streams/layout.ts";
import type { SimConnection } from "./connection.ts";
import type { World } from "./world.ts";

export interface StoredRecord {
  sequence: number;
  partition: number;
  subject: string;
  data: Uint8Array;
  storedAtMs: number;
}

export interface Subscriber {
  connection: SimConnection;
  filter: string[];
  receive(
    subject: string,
    data: Uint8Array,
    about: { replyTo: string | undefined; noResponders: boolean },
  ): void;
}

export interface Reader {
  connection: SimConnection;
  partition: number;
  receive(record: StoredRecord): void;
  /** What comes after its position is not all there any more. */
  lost(): void;
}

export interface Watcher {
  connection: SimConnection;
  bucket: BucketName;
  filter: string[];
  receive(entry: Entry): void;
}

/** What became of a message to a stream. */
export type StoreOutcome =
  | { kind: "stored"; sequence: number; duplicate: boolean }
  /** It was to be the first of its subject, and is not. */
  | { kind: "conflict" }
  /** Not taken this time. */
  | { kind: "rejected" };

/** How long a stream knows the id of a message. */
const DUPLICATE_WINDOW_MS = 120_000;

/** Looks at every write. */
export interface WriteObserver {
  /** The broker has lost what was written after this. */
  reverted(bucket: BucketName, key: string, entry: Entry | undefined): void;
  refused(bucket: BucketName, key: string, writer: string): void;
  written(bucket: BucketName, entry: Entry, writer: string, note: number): void;
}

/** A NATS server with JetStream, as far as the log's core can tell. What it stored survives restarts. */
export class Broker {
  readonly world: World;
  readonly connections = new Set<SimConnection>();
  /** By partition. All of them are in one stream, so their sequences have gaps. */
  readonly partitions: StoredRecord[][];
  up = true;
  /** No stream and no bucket has a leader. */
  electing = false;
  /** The share of plain messages that get lost. */
  loss = 0;
  /** The share of messages to streams that are not taken. */
  rejects = 0;
  readonly observers: WriteObserver[] = [];
  /** Told of every record. */
  appended: (record: StoredRecord) => void = () => {};
  /** Told of every message that a stream besides the log has stored. */
  stored: (subject: string, data: Uint8Array) => void = () => {};
  readonly #bySubject = new Map<string, number>();
  /** When each message id was stored, and as what. */
  readonly #messageIds = new Map<string, { at: number; sequence: number }>();
  readonly #buckets = new Map<BucketName, Map<string, Entry>>();
  /** The newest revision of each bucket. */
  readonly #revisions = new Map<BucketName, number>();
  /** What each write of a bucket has replaced, for when its tail gets lost. */
  readonly #replaced = new Map<BucketName, { key: string; entry: Entry | undefined }[]>();
  #sequence = 0;
  /** Of the streams besides the log. */
  #otherSequence = 0;
  /** The newest record that was cut off the log. */
  #cutAt = 0;
  #subscribers: Subscriber[] = [];
  #readers: Reader[] = [];
  #watchers: Watcher[] = [];

  constructor(world: World, partitions: number) {
    this.world = world;
    this.partitions = Array.from({ length: partitions }, () => []);
  }

  /** The newest sequence that the log has given. */
  get end(): number {
    return this.#sequence;
  }

  append(subject: string, data: Uint8Array): number {
    this.#sequence += 1;
    const sequence = this.#sequence;
    const partition = Number(subject.split(".")[2]);
    const record = { sequence, partition, subject, data, storedAtMs: this.world.now };
    this.partitions[partition]!.push(record);
    this.#bySubject.set(subject, sequence);
    this.appended(record);
    for (const reader of this.#readers) {
      if (reader.partition === partition) reader.connection.deliver(() => reader.receive(record));
    }
    return sequence;
  }

  get #rejects(): boolean {
    return this.electing || this.world.chance(this.rejects);
  }

  appendUnlessRejected(subject: string, data: Uint8Array): StoreOutcome {
    if (this.#rejects) return { kind: "rejected" };
    return { kind: "stored", sequence: this.append(subject, data), duplicate: false };
  }

  /**
   * Only as the first record of its subject; whose it is, is known for good. Who listens on the
   * subject hears of it in any case, as of every message.
   */
  appendFirst(subject: string, data: Uint8Array, messageId: string): StoreOutcome {
    this.#pass(subject, data, { replyTo: undefined, noResponders: false });
    if (this.#rejects) return { kind: "rejected" };
    const known = this.#messageIds.get(messageId);
    if (known !== undefined) return { kind: "stored", sequence: known.sequence, duplicate: true };
    if (this.#bySubject.has(subject)) return { kind: "conflict" };
    const sequence = this.append(subject, data);
    this.#messageIds.set(messageId, { at: this.world.now, sequence });
    return { kind: "stored", sequence, duplicate: false };
  }

  /** Whether the log has a record on a subject like this. */
  hasStored(filter: string): boolean {
    const tokens = filter.split(".");
    return [...this.#bySubject.keys()].some((subject) => matches(tokens, subject));
  }

  /** Into a stream besides the log, unless it has a message of this id. */
  store(subject: string, data: Uint8Array, messageId: string): StoreOutcome {
    if (this.#rejects) return { kind: "rejected" };
    const { now } = this.world;
    const known = this.#messageIds.get(messageId);
    if (known !== undefined && now - known.at < DUPLICATE_WINDOW_MS) {
      return { kind: "stored", sequence: known.sequence, duplicate: true };
    }
    this.#otherSequence += 1;
    const sequence = this.#otherSequence;
    this.#messageIds.set(messageId, { at: now, sequence });
    this.stored(subject, data);
    return { kind: "stored", sequence, duplicate: false };
  }

  read(reader: Reader, after: number): void {
    if (after > 0 && after < this.#cutAt) {
      reader.connection.deliver(() => reader.lost());
      return;
    }
    this.#readers.push(reader);
    for (const record of this.partitions[reader.partition]!) {
      if (record.sequence > after) reader.connection.deliver(() => reader.receive(record));
    }
  }

  /** As when the log reaches its limits: the oldest `share` of it is gone. Deaths are kept. */
  cutLog(share: number): void {
    const cutAt = Math.floor(this.#sequence * share);
    this.#cutAt = Math.max(this.#cutAt, cutAt);
    for (const [partition, records] of this.partitions.entries()) {
      this.partitions[partition] = records.filter(
        ({ sequence, subject }) => sequence > cutAt || subject.includes(".node-down."),
      );
    }
  }

  stopReading(reader: Reader): void {
    this.#readers = this.#readers.filter((one) => one !== reader);
  }

  bucket(name: BucketName): Map<string, Entry> {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = new Map();
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }

  put(
    name: BucketName,
    key: string,
    value: Uint8Array | undefined,
    expected: number,
    by: { writer: string; note: number },
  ): PutOutcome {
    if ((this.bucket(name).get(key)?.revision ?? 0) !== expected) {
      for (const observer of this.observers) observer.refused(name, key, by.writer);
      return { kind: "conflict" };
    }
    return { kind: "stored", revision: this.#store(name, key, value, by).revision };
  }

  /** As an operator would: every key of the bucket gets a deletion, or nothing of it is left. */
  empty(name: BucketName, purge: boolean): void {
    const bucket = this.bucket(name);
    for (const key of [...bucket.keys()]) {
      if (purge) bucket.delete(key);
      else this.#store(name, key, undefined, { writer: "operator", note: 0 });
    }
  }

  /** As when the broker had not synced its newest writes: they are gone, and revisions begin from before. */
  loseTail(name: BucketName, writes: number): void {
    const bucket = this.bucket(name);
    const replaced = this.#replaced.get(name) ?? [];
    for (const { key, entry } of replaced.splice(-writes).reverse()) {
      this.#revisions.set(name, (this.#revisions.get(name) ?? 1) - 1);
      if (entry === undefined) bucket.delete(key);
      else bucket.set(key, entry);
      for (const observer of this.observers) observer.reverted(name, key, entry);
    }
  }

  watch(watcher: Watcher): void {
    this.#watchers.push(watcher);
    for (const entry of this.bucket(watcher.bucket).values()) {
      if (matches(watcher.filter, entry.key))
        watcher.connection.deliver(() => watcher.receive(entry));
    }
  }

  stopWatching(watcher: Watcher): void {
    this.#watchers = this.#watchers.filter((one) => one !== watcher);
  }

  subscribe(subscriber: Subscriber): void {
    this.#subscribers.push(subscriber);
  }

  unsubscribe(subscriber: Subscriber): void {
    this.#subscribers = this.#subscribers.filter((one) => one !== subscriber);
  }

  /** Whoever asks where nobody listens is told so by the server itself. */
  publish(subject: string, data: Uint8Array, replyTo: string | undefined): void {
    const heard = this.#pass(subject, data, { replyTo, noResponders: false });
    if (!heard && replyTo !== undefined) {
      this.#pass(replyTo, new Uint8Array(), { replyTo: undefined, noResponders: true });
    }
  }

  /** True if anybody subscribes to it. */
  #pass(subject: string, data: Uint8Array, about: Parameters<Subscriber["receive"]>[2]): boolean {
    const tokens = subject.split(".");
    let heard = false;
    for (const subscriber of this.#subscribers) {
      if (!matchTokens(subscriber.filter, tokens)) continue;
      heard = true;
      if (this.world.chance(this.loss)) continue;
      subscriber.connection.deliver(() => subscriber.receive(subject, data, about));
    }
    return heard;
  }

  /** A connection is gone, and with it what it had set up here. */
  dropped(connection: SimConnection): void {
    const others = (one: { connection: SimConnection }) => one.connection !== connection;
    this.#subscribers = this.#subscribers.filter(others);
    this.#readers = this.#readers.filter(others);
    this.#watchers = this.#watchers.filter(others);
  }

  stop(): void {
    this.up = false;
    for (const connection of this.connections) connection.cut(this.world.between(0, 50));
  }

  start(): void {
    this.up = true;
    for (const connection of this.connections) {
      this.world.after(this.world.between(0, 2_500), () => connection.restore());
    }
  }

  #store(
    name: BucketName,
    key: string,
    value: Uint8Array | undefined,
    { writer, note }: { writer: string; note: number },
  ): Entry {
    const revision = (this.#revisions.get(name) ?? 0) + 1;
    this.#revisions.set(name, revision);
    const entry = { key, value, revision };
    const replaced = this.#replaced.get(name) ?? [];
    replaced.push({ key, entry: this.bucket(name).get(key) });
    this.#replaced.set(name, replaced);
    this.bucket(name).set(key, entry);
    for (const observer of this.observers) observer.written(name, entry, writer, note);
    for (const watcher of this.#watchers) {
      if (watcher.bucket === name && matches(watcher.filter, key)) {
        watcher.connection.deliver(() => watcher.receive(entry));
      }
    }
    return entry;
  }
}

export function matches(filter: readonly string[], subject: string): boolean {
  return matchTokens(filter, subject.split("."));
}

function matchTokens(filter: readonly string[], tokens: readonly string[]): boolean {
  for (let i = 0; i < filter.length; i++) {
    if (filter[i] === ">") return tokens.length > i;
    if (tokens[i] === undefined) return false;
    if (filter[i] !== "*" && filter[i] !== tokens[i]) return false;
  }
  return tokens.length === filter.length;
}
