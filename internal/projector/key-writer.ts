import type { Bucket, Entry } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

/** Why a writer gave up: somebody else has written one of the keys. Nothing it holds may be written any more. */
export type WriteFailure = "conflict";

/** Whether the partition is this projector's to write. */
export interface Permission {
  /** At this moment. While not, what is to be written waits for `resume`. */
  allowed(): boolean;
  /**
   * Asks the leader: what was read before is then older than any write of another owner. Rejects when
   * it does not answer.
   */
  confirmed(): Promise<boolean>;
}

export interface KeyWriterOptions<T> extends Permission {
  bucket: Bucket;
  clock: Clock;
  /** The most puts in flight at once. */
  window: number;
  /** The value to store, asked for when it is sent: what changed meanwhile is written only once. */
  encode(item: T): Uint8Array;
  /** Whether a value that somebody else wrote may be replaced. Without: it ends this writer. */
  shared: boolean;
  failed(why: WriteFailure): void;
}

/** How long a broker that does not answer is given. */
const RETRY_MS = 500;

interface Slot<T> {
  readonly key: string;
  /** The newest value; undefined while only the revision is known. */
  item: T | undefined;
  /** The newest revision of the key, 0 when it was never written. */
  revision: number;
  /** The turn in which the change came that is not yet sent; undefined when there is none. */
  changedIn: number | undefined;
  /** The turn of the change that is being written; undefined when none is. */
  writingIn: number | undefined;
}

/**
 * Writes many keys of a bucket, each with the revision it expects to replace: one put at a time for
 * a key, the newest value only, a bounded number in flight over all keys.
 */
export class KeyWriter<T> {
  readonly #options: KeyWriterOptions<T>;
  readonly #slots = new Map<string, Slot<T>>();
  #queue: Slot<T>[] = [];
  #head = 0;
  #inFlight = 0;
  /** Changes not yet stored. */
  #changes = 0;
  #turn = 0;
  #flush: { left: number; done: () => void } | undefined;
  #closed = false;

  constructor(options: KeyWriterOptions<T>) {
    this.#options = options;
  }

  /** Changes not yet stored. */
  get backlog(): number {
    return this.#changes;
  }

  /** Keys whose revisions are kept. */
  get size(): number {
    return this.#slots.size;
  }

  /** Tells what is stored under a key now; no item: the key was deleted, or holds nothing of use. */
  known(key: string, revision: number, item: T | undefined): void {
    const slot = this.#slot(key);
    slot.revision = revision;
    slot.item = item;
  }

  /** What was last put, or known to be stored, under a key. */
  item(key: string): T | undefined {
    return this.#slots.get(key)?.item;
  }

  put(key: string, item: T): void {
    if (this.#closed) return;
    const slot = this.#slot(key);
    slot.item = item;
    if (slot.changedIn !== undefined) return;
    slot.changedIn = this.#turn;
    this.#changes += 1;
    if (slot.writingIn === undefined) this.#queue.push(slot);
    this.#pump();
  }

  /** Forgets a key that nobody will write soon. Keeps it if it is being written. */
  forget(key: string): void {
    const slot = this.#slots.get(key);
    if (slot?.changedIn === undefined && slot?.writingIn === undefined) this.#slots.delete(key);
  }

  /** Calls `done` when everything put so far is stored. One at a time. */
  flushed(done: () => void): void {
    this.#turn += 1;
    if (this.#changes === 0) done();
    else this.#flush = { left: this.#changes, done };
  }

  /** Writes what waited for permission. */
  resume(): void {
    this.#pump();
  }

  /** Writes nothing more and reports nothing more. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#head = 0;
    this.#flush = undefined;
  }

  #slot(key: string): Slot<T> {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = { key, item: undefined, revision: 0, changedIn: undefined, writingIn: undefined };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #pump(): void {
    while (!this.#closed && this.#inFlight < this.#options.window) {
      const slot = this.#queue[this.#head];
      if (slot === undefined) break;
      if (!this.#options.allowed()) return;
      this.#head += 1;
      this.#send(slot);
    }
    if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }

  #send(slot: Slot<T>): void {
    const { item } = slot;
    if (item === undefined) return;
    slot.writingIn = slot.changedIn;
    slot.changedIn = undefined;
    this.#inFlight += 1;
    this.#put(slot, this.#options.encode(item), false);
  }

  /** `again`: it was sent before, and may be stored already. */
  #put(slot: Slot<T>, value: Uint8Array, again: boolean): void {
    this.#options.bucket.put(slot.key, value, slot.revision, (outcome) => {
      if (this.#closed) return;
      if (outcome.kind === "stored") this.#stored(slot, outcome.revision);
      else void this.#lookAgain(slot, value, again || outcome.kind === "unknown");
    });
  }

  #stored(slot: Slot<T>, revision: number): void {
    slot.revision = revision;
    this.#settle(slot);
  }

  #settle(slot: Slot<T>): void {
    const turn = slot.writingIn ?? this.#turn;
    slot.writingIn = undefined;
    this.#inFlight -= 1;
    this.#changes -= 1;
    if (slot.changedIn !== undefined) this.#queue.push(slot);
    const flush = this.#flush;
    if (flush !== undefined && turn < this.#turn) {
      flush.left -= 1;
      if (flush.left === 0) {
        this.#flush = undefined;
        flush.done();
      }
    }
    this.#pump();
  }

  /**
   * The put was not stored, or nobody knows. A key that was deleted, or has expired, is nobody's: it
   * may be written again. What stands there as it was sent may be one's own.
   */
  async #lookAgain(slot: Slot<T>, value: Uint8Array, perhapsStored: boolean): Promise<void> {
    const { bucket, shared, allowed, confirmed } = this.#options;
    let entry: Entry | undefined;
    try {
      entry = await bucket.latest(slot.key);
      // If not, the owner is told by the record itself.
      if (!(await confirmed())) return;
    } catch {
      return this.#lookLater(slot, value, perhapsStored);
    }
    if (this.#closed) return;
    if (!allowed()) return this.#lookLater(slot, value, perhapsStored);
    const revision = entry?.revision ?? 0;
    const stands = entry?.value;
    if (perhapsStored && stands !== undefined && Buffer.compare(stands, value) === 0) {
      return this.#stored(slot, revision);
    }
    if (revision !== slot.revision && stands !== undefined && !shared) {
      return this.#fail("conflict");
    }
    slot.revision = revision;
    this.#put(slot, value, perhapsStored);
  }

  /** A broker without a leader has one again after a while. */
  #lookLater(slot: Slot<T>, value: Uint8Array, perhapsStored: boolean): void {
    this.#options.clock.after(RETRY_MS, () => {
      if (!this.#closed) void this.#lookAgain(slot, value, perhapsStored);
    });
  }

  #fail(why: WriteFailure): void {
    if (this.#closed) return;
    this.close();
    this.#options.failed(why);
  }
}
