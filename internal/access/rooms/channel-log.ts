/**
 * What a node knows of one channel's log, as values: the ring of what came lately, what is ahead of a
 * gap, and what has to be asked of the stream. Pure: no clock, no chance, no NATS. feed.ts does the asking.
 */
import type { ChannelNewest } from "../../bus/contract.ts";
import type { Entry } from "./entry.ts";
import { Ring, rangeOf } from "./ring.ts";

/** What to ask the stream next. */
export type Question =
  | { kind: "newest" }
  /** `exact`: by the leader of the stream, as the copies lag behind. */
  | { kind: "read"; after: number; exact: boolean };

/** What the stream keeps of a channel above `after`, oldest first, as far as it was read. */
export interface Reading {
  after: number;
  epoch: number;
  entries: readonly Entry[];
  /** Nothing above this has gone out of the stream. */
  wholeFrom: number;
  /** The stream has more above these. */
  more: boolean;
}

/** What became of what a member has not been given. */
export type Judgement =
  | { kind: "page"; page: Page }
  /** For those below this place it cannot be had any more; the others may ask again. */
  | { kind: "gone"; below: number }
  /** The copy that answered lags behind, or the stream is another: ask again. */
  | { kind: "again" };

/** Where a member that names a position may begin. */
export type Admission =
  /** It is given everything above its position. */
  | "recovered"
  /** What follows its position is not here; it may be in the stream. */
  | "read"
  /** The position is above everything known here. */
  | "ask"
  /** It is given what comes from now on. */
  | "fresh";

export interface Since {
  /** 0: none. */
  position: number;
  /** 0: the present one. */
  epoch: number;
}

/** Reads without progress, after which the leader is asked: what it does not have is gone. */
export const MOST_TRIES = 4;
/** What is ahead of a gap is kept up to this size; the rest is read again. */
const MAX_AHEAD_BYTES = 1_048_576;

export class ChannelLog {
  #ring = new Ring(0, 0);
  #epoch = 0;
  /** The newest sequence of the stream, of whatever channel, that was heard of. */
  #streamLast = 0;
  /** Something may have passed unheard. */
  #unsure = true;
  /** The ring has to come up to here. */
  #target = 0;
  #ahead: Entry[] = [];
  #aheadBytes = 0;
  #tries = 0;

  /** 0 until the stream has answered for the first time. */
  get epoch(): number {
    return this.#epoch;
  }

  get ring(): Ring {
    return this.#ring;
  }

  get head(): number {
    return this.#ring.head;
  }

  /** The newest sequence of the stream, of whatever channel, that was heard of. */
  get streamLast(): number {
    return Math.max(this.#streamLast, this.head);
  }

  /** Whether something has to be asked for the log's own sake. */
  get question(): Question | undefined {
    if (this.#unsure) return { kind: "newest" };
    if (this.#ahead.length === 0 && this.#target <= this.head) return undefined;
    return { kind: "read", after: this.head, exact: this.#tries >= MOST_TRIES };
  }

  /** The link was away, or a position was heard of that is not known here. */
  doubt(): void {
    this.#unsure = true;
  }

  /** A message came live. */
  received(entry: Entry): void {
    if (this.#epoch === 0) {
      this.#keepAhead(entry);
      return;
    }
    switch (this.#ring.fit(entry)) {
      case "next":
        this.#ring.push(entry);
        this.#takeAhead();
        break;
      case "gap":
        this.#keepAhead(entry);
        break;
      case "known":
        // A second copy, or one of a stream that was made anew.
        if (entry.position !== this.#ring.floor && !this.#ring.holds(entry.position)) this.doubt();
        break;
    }
  }

  /**
   * The stream has answered; the head was at `askedAt` when it was asked.
   *
   * @returns whether it is another stream, or one that was set back, so that nothing before it counts.
   */
  learned({ epoch, last, newest }: ChannelNewest, askedAt: number): boolean {
    this.#unsure = false;
    this.#streamLast = Math.max(last, newest);
    const position = newest === 0 ? last : newest;
    const opening = this.#epoch === 0;
    const anew = !opening && (epoch !== this.#epoch || this.#streamLast < askedAt);
    this.#epoch = epoch;
    if (opening || anew) this.#restart(position, newest);
    else this.#target = Math.max(this.#target, newest);
    this.#takeAhead();
    return anew;
  }

  /**
   * What followed the head was read. @returns false when the answer brought nothing new, so that asking
   * again can wait a moment.
   */
  read({ after, epoch, entries, wholeFrom }: Reading, exact: boolean): boolean {
    if (after !== this.head) return true;
    if (epoch !== this.#epoch) {
      this.doubt();
      return true;
    }
    if (after < wholeFrom) this.#skipGone(entries[0]);
    for (const entry of entries) if (entry.position > this.head) this.#ring.push(entry);
    this.#takeAhead();
    const progress = this.head > after;
    this.#tries = progress ? 0 : this.#tries + 1;
    if (exact && !progress) this.#giveUp();
    return progress || this.question === undefined;
  }

  admission({ position, epoch }: Since): Admission {
    if (position === 0) return "fresh";
    // A later epoch than is known here may be the truth.
    if (epoch !== 0 && epoch !== this.#epoch) return epoch > this.#epoch ? "ask" : "fresh";
    if (position > this.head) return position <= this.#streamLast ? "recovered" : "ask";
    return this.#ring.reaches(position) ? "recovered" : "read";
  }

  /** Of a reading for members below the ring. */
  judge({ after, epoch, entries, wholeFrom, more }: Reading): Judgement {
    if (epoch !== this.#epoch) {
      this.doubt();
      return { kind: "again" };
    }
    if (after < wholeFrom) return { kind: "gone", below: wholeFrom };
    const reach = entries.at(-1)?.position ?? after;
    const { below, floor } = this.#ring;
    // Without more, what it does not have up to the ring is not there: unless a copy lags behind.
    if (!more && reach >= below) {
      return { kind: "page", page: new Page(after, Math.max(reach, floor), entries) };
    }
    return reach > after
      ? { kind: "page", page: new Page(after, reach, entries) }
      : { kind: "again" };
  }

  #restart(head: number, newest: number): void {
    this.#ring = new Ring(head, newest);
    this.#target = head;
    this.#tries = 0;
  }

  /** Messages above the head are gone: begins anew before the first that is left. */
  #skipGone(first: Entry | undefined): void {
    const target = this.#target;
    const next = first?.position ?? this.#ahead[0]?.position ?? target + 1;
    const head = Math.max(this.head, next - 1);
    // Something may be left below it for those who read the past: as if there were a message right there.
    this.#restart(head, head);
    this.#target = Math.max(this.head, target);
  }

  /** The stream has nothing more, yet something is missing that it has had: deleted by hand. */
  #giveUp(): void {
    this.#skipGone(this.#ahead[0]);
    this.#takeAhead();
  }

  #keepAhead(entry: Entry): void {
    this.#ahead.push(entry);
    this.#aheadBytes += entry.memory;
    while (this.#aheadBytes > MAX_AHEAD_BYTES && this.#ahead.length > 1) {
      this.#aheadBytes -= this.#ahead.shift()?.memory ?? 0;
    }
  }

  /** Takes what the gap does not hold back any more. */
  #takeAhead(): void {
    let taken = 0;
    for (const entry of this.#ahead) {
      const fit = this.#ring.fit(entry);
      if (fit === "gap") break;
      if (fit === "next") this.#ring.push(entry);
      this.#aheadBytes -= entry.memory;
      taken += 1;
    }
    if (taken > 0) this.#ahead.splice(0, taken);
  }
}

/** A part of a channel's past that was read for members who are behind the ring. */
export class Page {
  readonly after: number;
  /** Everything of the channel above `after` and up to here is in it. */
  readonly upTo: number;
  readonly #entries: readonly Entry[];

  constructor(after: number, upTo: number, entries: readonly Entry[]) {
    this.after = after;
    this.upTo = upTo;
    this.#entries = entries;
  }

  covers(position: number): boolean {
    return position >= this.after && position < this.upTo;
  }

  range(position: number, upTo: number, maxBytes: number): Entry[] {
    return rangeOf(this.#entries, position, upTo, maxBytes);
  }
}
