import type { Bucket, Entry, PutOutcome } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

/** Why nothing may be written any more: somebody else has claimed the partition. */
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

/** What becomes of a write that finds a value whose writer is not known. */
export type Verdict =
  /** It is to be replaced. */
  | "write"
  /** It says already what was to be written. */
  | "keep"
  /** It says something newer. What is written next may be older than that, too. */
  | "newer"
  /** That cannot be told yet. */
  | "wait"
  /** Its writer is the owner of all now. */
  | "lost";

export interface KeyWriterOptions<T> extends Permission {
  bucket: Bucket;
  clock: Clock;
  /** The most puts in flight at once. */
  window: number;
  /** The value to store, asked for when it is sent: what changed meanwhile is written only once. */
  encode(item: T): Uint8Array;
  /** May throw: what cannot be read is replaced. */
  decode(value: Uint8Array): T;
  judge(stored: T, item: T): Verdict | Promise<Verdict>;
  failed(why: WriteFailure): void;
}

interface Slot<T> {
  readonly key: string;
  /** The newest value; undefined while only the revision is known. */
  item: T | undefined;
  /** The newest revision of the key, 0 when it was never written; undefined: to be looked up. */
  revision: number | undefined;
  /** The turn in which the change came that is not yet sent; undefined when there is none. */
  changedIn: number | undefined;
  /** The turn of the change that is being written; undefined when none is. */
  writingIn: number | undefined;
}

/** The broker did not answer, or the verdict was to wait: looked at again after this long. */
const AGAIN_MS = 250;
/** Keys are looked up together with those that come in so long. */
export const GATHER_MS = 50;

/**
 * Writes many keys of a bucket, each with the revision that it replaces: one put at a time for
 * a key, the newest value only, a bounded number in flight over all keys.
 *
 * A revision that is not known is looked up, together with all others that are not; what stands there is
 * then judged by what it says. So it is when somebody else has written the key, or the broker has not
 * answered.
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
  #unknown: Slot<T>[] = [];
  #lookingUp = false;
  #waiting: Slot<T>[] = [];
  /** Without permission. */
  #held: Slot<T>[] = [];
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

  /** Of what stands under a key now, 0 for nothing; undefined when that is not known. */
  revision(key: string): number | undefined {
    return this.#slots.get(key)?.revision;
  }

  /** Whether the key was written, or looked at, and not forgotten since. */
  knows(key: string): boolean {
    return this.#slots.has(key);
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
    for (const slot of this.#held.splice(0)) {
      if (slot.revision === undefined) this.#unknown.push(slot);
      else this.#send(slot, slot.revision);
    }
    this.#pump();
  }

  /** Writes nothing more and reports nothing more. */
  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#head = 0;
    this.#unknown = [];
    this.#waiting = [];
    this.#held = [];
    this.#flush = undefined;
  }

  #slot(key: string): Slot<T> {
    let slot = this.#slots.get(key);
    if (slot === undefined) {
      slot = {
        key,
        item: undefined,
        revision: undefined,
        changedIn: undefined,
        writingIn: undefined,
      };
      this.#slots.set(key, slot);
    }
    return slot;
  }

  #pump(): void {
    while (!this.#closed && this.#inFlight < this.#options.window) {
      const slot = this.#queue[this.#head];
      if (slot === undefined) break;
      this.#head += 1;
      this.#inFlight += 1;
      slot.writingIn = slot.changedIn;
      slot.changedIn = undefined;
      if (slot.revision === undefined) this.#unknown.push(slot);
      else this.#send(slot, slot.revision);
    }
    if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (this.#unknown.length === 0 || this.#lookingUp) return;
    this.#lookingUp = true;
    this.#options.clock.after(GATHER_MS, () => void this.#lookUp());
  }

  #send(slot: Slot<T>, expected: number): void {
    const { item } = slot;
    if (this.#closed || item === undefined) return;
    if (!this.#options.allowed()) {
      this.#held.push(slot);
      return;
    }
    const { bucket, encode } = this.#options;
    bucket.put(slot.key, encode(item), expected, (outcome) =>
      this.#answered(slot, expected, outcome),
    );
  }

  #answered(slot: Slot<T>, expected: number, outcome: PutOutcome): void {
    if (this.#closed) return;
    switch (outcome.kind) {
      case "stored":
        slot.revision = outcome.revision;
        this.#settle(slot);
        break;
      case "conflict":
        void this.#lookAgain(slot, expected);
        break;
      case "unknown":
        this.#wait(slot);
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

  /** All that are unknown in one question. A copy of the bucket that lags behind costs a conflict. */
  async #lookUp(): Promise<void> {
    const { bucket, confirmed } = this.#options;
    const slots = this.#unknown;
    this.#unknown = [];
    let entries: (Entry | undefined)[] | undefined;
    try {
      entries = await bucket.getMany(slots.map(({ key }) => key));
      // If not, the owner is told by the record itself.
      if (!(await confirmed())) return;
    } catch {
      entries = undefined;
    }
    this.#lookingUp = false;
    for (const [i, slot] of slots.entries()) {
      if (entries === undefined) this.#wait(slot);
      else this.#found(slot, entries[i]);
    }
    this.#pump();
  }

  /** Behind a conflict only the leader's word counts. */
  async #lookAgain(slot: Slot<T>, expected: number): Promise<void> {
    const { bucket, confirmed } = this.#options;
    try {
      const entry = await bucket.latest(slot.key);
      if (!(await confirmed())) return;
      // Another's write is under way and not yet there.
      if ((entry?.revision ?? 0) === expected) this.#wait(slot);
      else this.#found(slot, entry);
    } catch {
      this.#wait(slot);
    }
  }

  /** A key that was deleted, or has expired, is nobody's. */
  #found(slot: Slot<T>, entry: Entry | undefined): void {
    const { item } = slot;
    if (this.#closed || item === undefined) return;
    const stored = entry?.value && this.#decoded(entry.value);
    const revision = entry?.revision ?? 0;
    const verdict = stored === undefined ? "write" : this.#options.judge(stored, item);
    if (typeof verdict === "string") this.#decide(slot, revision, verdict);
    else {
      verdict.then(
        (decided) => this.#decide(slot, revision, decided),
        () => this.#wait(slot),
      );
    }
  }

  #decide(slot: Slot<T>, revision: number, verdict: Verdict): void {
    if (this.#closed) return;
    slot.revision = verdict === "newer" ? undefined : revision;
    if (verdict === "lost") this.#fail("conflict");
    else if (verdict === "write") this.#send(slot, revision);
    else if (verdict === "wait") this.#wait(slot);
    else this.#settle(slot);
  }

  #wait(slot: Slot<T>): void {
    if (this.#closed) return;
    slot.revision = undefined;
    this.#waiting.push(slot);
    if (this.#waiting.length > 1) return;
    this.#options.clock.after(AGAIN_MS, () => {
      this.#unknown.push(...this.#waiting);
      this.#waiting = [];
      this.#pump();
    });
  }

  #decoded(value: Uint8Array): T | undefined {
    try {
      return this.#options.decode(value);
    } catch {
      return undefined;
    }
  }

  #fail(why: WriteFailure): void {
    if (this.#closed) return;
    this.close();
    this.#options.failed(why);
  }
}
