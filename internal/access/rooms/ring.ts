import { type Entry, indexAbove, type Place } from "./entry.ts";

/** `next`: it follows what is here. `known`: it is not new. `gap`: something between is missing. */
export type Fit = "next" | "known" | "gap";

/**
 * The newest messages of a channel without a gap: everything above `floor` and up to `head`. The oldest
 * go when there is no room. Pure: positions in, entries out.
 */
export class Ring {
  #entries: Entry[] = [];
  /** Index of the oldest that is still here. */
  #first = 0;
  #memory = 0;
  #floor: number;
  #head: number;
  #below: number;

  /** `newest`: the channel's newest message at or below `head`; 0 when none is kept. */
  constructor(head: number, newest: number) {
    this.#floor = head;
    this.#head = head;
    this.#below = newest;
  }

  get floor(): number {
    return this.#floor;
  }

  get head(): number {
    return this.#head;
  }

  /** The channel has no message above this one that is not above `floor`; 0 when that is not known. */
  get below(): number {
    return this.#below;
  }

  /** Bytes that it takes. */
  get memory(): number {
    return this.#memory;
  }

  get length(): number {
    return this.#entries.length - this.#first;
  }

  fit({ position, previous }: Place): Fit {
    if (position <= this.#head) return "known";
    return previous <= this.#head ? "next" : "gap";
  }

  /** Whether everything above `position` is here. */
  reaches(position: number): boolean {
    return position >= this.#floor || (this.#below > 0 && position >= this.#below);
  }

  holds(position: number): boolean {
    return (
      this.#entries[indexAbove(this.#entries, position - 1, this.#first)]?.position === position
    );
  }

  /** For an entry of place `next`. */
  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#memory += entry.memory;
    this.#head = entry.position;
  }

  /** Drops the oldest until no more than this many bytes are left; the newest always stays. */
  trim(maxBytes: number): void {
    while (this.#memory > maxBytes && this.length > 1) {
      const oldest = this.#entries[this.#first];
      if (oldest === undefined) break;
      this.#first += 1;
      this.#memory -= oldest.memory;
      this.#floor = oldest.position;
      this.#below = oldest.position;
    }
    if (this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }

  /**
   * What follows `position`, up to `upTo` and at most about `maxBytes` of it, but at least one. Undefined
   * when that is not here any more.
   */
  range(position: number, upTo: number, maxBytes: number): Entry[] | undefined {
    if (!this.reaches(position)) return undefined;
    return rangeOf(this.#entries, position, upTo, maxBytes, this.#first);
  }

  /** How much of it lies above `position`; counts no further than `enough`. */
  bytesAbove(position: number, enough = Number.POSITIVE_INFINITY): number {
    let bytes = 0;
    let index = indexAbove(this.#entries, position, this.#first);
    for (; index < this.#entries.length && bytes < enough; index += 1) {
      bytes += this.#entries[index]?.bytes ?? 0;
    }
    return bytes;
  }
}

export function rangeOf(
  entries: readonly Entry[],
  position: number,
  upTo: number,
  maxBytes: number,
  from = 0,
): Entry[] {
  const range: Entry[] = [];
  let bytes = 0;
  for (let i = indexAbove(entries, position, from); i < entries.length; i += 1) {
    const entry = entries[i];
    if (entry === undefined || entry.position > upTo) break;
    bytes += entry.bytes;
    if (range.length > 0 && bytes > maxBytes) break;
    range.push(entry);
  }
  return range;
}
