/** A bounded number of operations at once. Who finds no room waits, in the order of asking. */
export class Slots<T> {
  readonly #limit: number;
  readonly #waiting = new Set<T>();
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True if there is room, which is taken; else `asker` waits. */
  take(asker: T): boolean {
    if (this.#taken >= this.#limit) {
      this.#waiting.add(asker);
      return false;
    }
    this.#taken += 1;
    this.#waiting.delete(asker);
    return true;
  }

  release(): void {
    this.#taken -= 1;
  }

  /** The next who waits, if there is room. It may ask again, or not. */
  next(): T | undefined {
    if (this.#taken >= this.#limit) return undefined;
    for (const asker of this.#waiting) {
      this.#waiting.delete(asker);
      return asker;
    }
    return undefined;
  }

  /** No longer waits. */
  forget(asker: T): void {
    this.#waiting.delete(asker);
  }
}
