/**
 * Those who wait outside, bounded in number and time. The newest is called first: under overload a queue
 * served from its old end serves only those who have given up.
 */
export class Parking<T> {
  readonly #most: number;
  readonly #longestMs: number;
  /** Oldest first; those before `#head` are gone. */
  #waiting: { who: T; sinceMs: number }[] = [];
  #head = 0;

  constructor(limits: { most: number; longestMs: number }) {
    this.#most = limits.most;
    this.#longestMs = limits.longestMs;
  }

  get size(): number {
    return this.#waiting.length - this.#head;
  }

  /** @returns who has to go for it: the one that has waited longest. */
  park(who: T, nowMs: number): T | undefined {
    this.#waiting.push({ who, sinceMs: nowMs });
    return this.size > this.#most ? this.#shift() : undefined;
  }

  newest(): T | undefined {
    if (this.size === 0) return undefined;
    const newest = this.#waiting.pop()?.who;
    this.#compact();
    return newest;
  }

  /** The next one whose time is over, if there is one. */
  expired(nowMs: number): T | undefined {
    const oldest = this.#waiting[this.#head];
    if (oldest === undefined || nowMs - oldest.sinceMs < this.#longestMs) return undefined;
    return this.#shift();
  }

  #shift(): T | undefined {
    const oldest = this.#waiting[this.#head]?.who;
    this.#head += 1;
    this.#compact();
    return oldest;
  }

  #compact(): void {
    if (this.#head < this.#waiting.length / 2) return;
    this.#waiting.splice(0, this.#head);
    this.#head = 0;
  }
}
