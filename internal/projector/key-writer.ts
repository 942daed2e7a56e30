import type { Bucket, PutOutcome } from "../bus/contract.ts";

/** Why a writer gave up. Nothing it holds may be written any more. */
export type WriteFailure =
  /** Somebody else has written one of the keys. */
  | "conflict"
  /** The broker did not answer, so what is stored is not known. */
  | "unknown"
  /** The lease ran out before it was renewed. */
  | "lease";

export interface KeyWriterOptions<T> {
  bucket: Bucket;
  /** The most puts in flight at once. */
  window: number;
  /** The value to store, asked for when it is sent: what changed meanwhile is written only once. */
  encode(item: T): Uint8Array;
  /** Whether this writer may still write. */
  allowed(): boolean;
  /** Whether a value that somebody else wrote may be replaced. Without: it ends this writer. */
  shared: boolean;
  failed(why: WriteFailure): void;
}

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
      if (!this.#options.allowed()) {
        this.#fail("lease");
        return;
      }
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
    const { bucket, encode } = this.#options;
    bucket.put(slot.key, encode(item), slot.revision, (outcome) =>
      this.#answered(slot, item, outcome),
    );
  }

  #answered(slot: Slot<T>, item: T, outcome: PutOutcome): void {
    if (this.#closed) return;
    switch (outcome.kind) {
      case "stored":
        slot.revision = outcome.revision;
        this.#settle(slot);
        break;
      case "conflict":
        this.#lookAgain(slot, item);
        break;
      case "unknown":
        this.#fail("unknown");
        break;
    }
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

  /** A key that was deleted, or has expired, is nobody's: it may be written again. */
  async #lookAgain(slot: Slot<T>, item: T): Promise<void> {
    const { bucket, encode, shared, allowed } = this.#options;
    let revision = 0;
    try {
      for await (const entry of bucket.list(slot.key)) {
        if (entry.value !== undefined && !shared) return this.#fail("conflict");
        revision = entry.revision;
      }
    } catch {
      return this.#fail("unknown");
    }
    if (this.#closed) return;
    if (revision === slot.revision) return this.#fail("unknown");
    if (!allowed()) return this.#fail("lease");
    slot.revision = revision;
    bucket.put(slot.key, encode(item), revision, (outcome) => this.#answered(slot, item, outcome));
  }

  #fail(why: WriteFailure): void {
    if (this.#closed) return;
    this.close();
    this.#options.failed(why);
  }
}
