import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import type { BucketName } from "../../streams/layout.ts";
import { HoldfastError } from "../status/errors.ts";
import { BucketPlace } from "./bucket-entry.ts";
import { listEntries, newestOf } from "./bucket-list.ts";
import { watchBucket } from "./bucket-watch.ts";
import { BucketWriter, type Write } from "./bucket-writer.ts";
import type { Connection } from "./connect.ts";
import type { Bucket, Entry, PutOutcome, Subscription } from "./contract.ts";
import { natsError } from "./nats-errors.ts";

const REQUEST_MS = 5_000;
const NOT_FOUND = 404;
const EMPTY = new Uint8Array(0);

/**
 * A key-value bucket. Reads are answered by any copy of its stream, which may lag behind for a moment:
 * `get` asks the leader before it says that there is nothing, `getMany` and `list` do not.
 */
export class NatsBucket implements Bucket {
  readonly #connection: Connection;
  readonly #place: BucketPlace;
  #writer: BucketWriter | undefined;

  constructor(connection: Connection, name: BucketName) {
    this.#connection = connection;
    this.#place = new BucketPlace(name);
  }

  /** Deletions are given too, without a value, because their revision is what a next write replaces. */
  async get(key: string): Promise<Entry | undefined> {
    const subject = this.#place.subject(key);
    try {
      if (!this.#connection.link.connected) throw new HoldfastError("unavailable", "not connected");
      const direct = `$JS.API.DIRECT.GET.${this.#place.stream}.${subject}`;
      const answer = await this.#connection.nc.request(direct, EMPTY, { timeout: REQUEST_MS });
      return isNotFound(answer) ? await this.#fromLeader(subject) : this.#place.ofDirect(answer);
    } catch (reason) {
      throw natsError(`cannot read ${subject}`, reason);
    }
  }

  async latest(key: string): Promise<Entry | undefined> {
    const subject = this.#place.subject(key);
    try {
      if (!this.#connection.link.connected) throw new HoldfastError("unavailable", "not connected");
      return await this.#fromLeader(subject);
    } catch (reason) {
      throw natsError(`cannot read ${subject}`, reason);
    }
  }

  async getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    const found = await newestOf(this.#connection, this.#place, [...new Set(keys)]);
    return keys.map((key) => found.get(key));
  }

  list(filter: string | readonly string[]): AsyncIterable<Entry> {
    const filters = typeof filter === "string" ? [filter] : filter;
    return listEntries(this.#connection, this.#place, filters);
  }

  watch(filter: string, changed: (entry: Entry) => void): Promise<Subscription> {
    return watchBucket(this.#connection, this.#place, filter, changed);
  }

  put(key: string, value: Uint8Array, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write({ subject: this.#place.subject(key), value, expected }, done);
  }

  delete(key: string, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write({ subject: this.#place.subject(key), value: undefined, expected }, done);
  }

  #write(write: Write, done: (outcome: PutOutcome) => void): void {
    this.#writer ??= new BucketWriter(this.#connection);
    this.#writer.write(write, done);
  }

  async #fromLeader(subject: string): Promise<Entry | undefined> {
    const jsm = await jetstreamManager(this.#connection.nc, { checkAPI: false });
    const message = await jsm.streams.getMessage(this.#place.stream, { last_by_subj: subject });
    return message ? this.#place.of(subject, message.seq, message.data, message.header) : undefined;
  }
}

function isNotFound(answer: Msg): boolean {
  return answer.headers?.code === NOT_FOUND;
}
