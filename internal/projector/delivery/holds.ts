/** A log record that a new owner would still have to read. */
export interface Hold {
  /** Its log sequence. */
  readonly sequence: number;
  /** Unix ms, by the owner's clock: when the owner read it. */
  readonly sinceMs: number;
  /** Nobody needs the record any more. */
  released: boolean;
}

const COMPACT_AFTER = 1_024;

/**
 * The records that are still needed, oldest first: the checkpoint stays below them. Adding and
 * releasing cost no search, since records come in log order and what is released is dropped when it
 * reaches the front.
 */
export class Holds<T extends Hold> {
  #queue: T[] = [];
  #head = 0;

  /** The oldest record still needed. */
  get oldest(): T | undefined {
    let first = this.#queue[this.#head];
    while (first?.released === true) {
      this.#head += 1;
      first = this.#queue[this.#head];
    }
    if (this.#head >= COMPACT_AFTER && this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }

  /** Kept records and released ones behind them. */
  get size(): number {
    return this.#queue.length - this.#head;
  }

  add(hold: T): void {
    this.#queue.push(hold);
  }
}
