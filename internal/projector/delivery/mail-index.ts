/** One message in the mailbox, as far as it is remembered. */
export interface MailPlace {
  /** Its delivery sequence. */
  readonly sequence: number;
  /** Its sequence in the mail stream. */
  readonly mailedAs: number;
  /** Unix ms. */
  readonly expiresAtMs: number;
  /** The length of the message. */
  readonly bytes: number;
}

const STRIDE = 4;
const COMPACT_AFTER = 256 * STRIDE;

/**
 * What of a device is in the mailbox, in the order of delivery sequences: four numbers a message and
 * nothing else, 32 bytes, since a device may be away for a week with thousands of them. The rest is
 * read when the device comes. Where the messages lie has to be known: to find the next of one device,
 * the server would walk over the mail of all devices between.
 */
export class MailIndex {
  /** Sequence, place, expiry and bytes of each message, from `#head` on. */
  #numbers: number[] = [];
  #head = 0;
  /** At or before the first expiry. */
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  get size(): number {
    return (this.#numbers.length - this.#head) / STRIDE;
  }

  get nextExpiryMs(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : this.#nextExpiryMs;
  }

  /** The delivery sequence of the oldest, Infinity when there is none. */
  get firstSequence(): number {
    return this.#numbers[this.#head] ?? Number.POSITIVE_INFINITY;
  }

  has(sequence: number): boolean {
    return this.#numbers[this.#at(sequence)] === sequence;
  }

  /** Puts it where its sequence belongs, which is nearly always the end. */
  add({ sequence, mailedAs, expiresAtMs, bytes }: MailPlace): void {
    this.#nextExpiryMs = Math.min(this.nextExpiryMs, expiresAtMs);
    const at = this.#at(sequence);
    if (at === this.#numbers.length) this.#numbers.push(sequence, mailedAs, expiresAtMs, bytes);
    else this.#numbers.splice(at, 0, sequence, mailedAs, expiresAtMs, bytes);
  }

  takeFirst(): MailPlace | undefined {
    if (this.size === 0) return undefined;
    const place = this.#place(this.#head);
    this.#head += STRIDE;
    this.#compact();
    return place;
  }

  /** Takes out everything up to and including a sequence; the places in the mail stream. */
  takeThrough(sequence: number): number[] {
    const end = this.#at(sequence + 1);
    const places: number[] = [];
    for (; this.#head < end; this.#head += STRIDE) places.push(this.#numbers[this.#head + 1] ?? 0);
    this.#compact();
    return places;
  }

  /** Takes out what has expired; how many those were. The server deletes them by itself. */
  dropExpired(nowMs: number): number {
    if (this.nextExpiryMs > nowMs) return 0;
    const before = this.size;
    const kept = new MailIndex();
    for (let at = this.#head; at < this.#numbers.length; at += STRIDE) {
      const place = this.#place(at);
      if (place.expiresAtMs > nowMs) kept.add(place);
    }
    this.#numbers = kept.#numbers;
    this.#head = 0;
    this.#nextExpiryMs = kept.#nextExpiryMs;
    return before - this.size;
  }

  #place(at: number): MailPlace {
    const [sequence = 0, mailedAs = 0, expiresAtMs = 0, bytes = 0] = this.#numbers.slice(
      at,
      at + STRIDE,
    );
    return { sequence, mailedAs, expiresAtMs, bytes };
  }

  /** Where the first with this sequence or a later one lies. */
  #at(sequence: number): number {
    const numbers = this.#numbers;
    if ((numbers[numbers.length - STRIDE] ?? -1) < sequence) return numbers.length;
    let low = this.#head / STRIDE;
    let high = numbers.length / STRIDE;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((numbers[middle * STRIDE] ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return low * STRIDE;
  }

  #compact(): void {
    if (this.#head === this.#numbers.length) {
      this.#numbers = [];
      this.#head = 0;
    } else if (this.#head >= COMPACT_AFTER && this.#head * 2 >= this.#numbers.length) {
      this.#numbers = this.#numbers.slice(this.#head);
      this.#head = 0;
    }
  }
}
