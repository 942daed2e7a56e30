/**
 * The order and the bounds of what an appender sends, apart from sockets and clocks. Go-back-N,
 * as in a data link: messages are sent in order, a bounded number ahead of their answers; when one is
 * not stored, sending goes back to the first that is not, so that the last copy of each message
 * stands in the stream in append order.
 *
 * Every sending has a number of its own. Messages lie at consecutive positions, and within one
 * round number = position + shift, so an answer finds its message by subtraction, and answers
 * of an earlier round are recognised and ignored.
 */

export interface WindowLimits {
  /** Messages sent and not yet stored. */
  maxInFlight: number;
  maxInFlightBytes: number;
  /** Above either of these `ready` is false, until both are at half again. */
  maxBacklog: number;
  maxBacklogBytes: number;
}

/** How a message ended: the stream sequence it was stored as, or one of the two below. */
export type Outcome = number;
/** Its condition does not hold: somebody else has stored one before. */
export const CONFLICT: Outcome = 0;
/** It can never be stored. */
export const REFUSED: Outcome = -1;

export interface WindowOwner<T> {
  /** Called once a message, in append order. */
  settled(message: T, outcome: Outcome): void;
  /** Gets what `settled` throws. */
  fault(reason: unknown): void;
}

export type Phase =
  /** Sends as far as the limits allow. */
  | "open"
  /** One message at a time, to see whether the stream takes them again. */
  | "probing"
  /** One was not stored: sends nothing until the rest is answered too. */
  | "settling"
  /** Has gone back; waits for `retry`. */
  | "pausing"
  /** No broker. */
  | "offline";

interface Slot<T> {
  readonly message: T;
  outcome: Outcome | undefined;
  /** Nobody wants it stored any more: it is not sent again, and `settled` is not called. */
  forgotten: boolean;
}

const COMPACT_AFTER = 4_096;

export class PublishWindow<T extends { readonly size: number }> {
  readonly #limits: WindowLimits;
  readonly #owner: WindowOwner<T>;
  /** `#slots[i]` lies at position `#offset + i`. */
  #slots: (Slot<T> | undefined)[] = [];
  #offset = 0;
  /** The first position that is not settled, and the first not sent in this round. */
  #head = 0;
  #next = 0;
  #shift = 0;
  #unanswered = 0;
  #inFlightBytes = 0;
  #backlogBytes = 0;
  #full = false;
  #held = false;
  #phase: Phase;
  /** `#head` at the last `tick`, and for how many it has stood still. */
  #tickHead = -1;
  #idleTicks = 0;

  /** `online`: whether there is a broker now. */
  constructor(limits: WindowLimits, owner: WindowOwner<T>, online: boolean) {
    this.#limits = limits;
    this.#owner = owner;
    this.#phase = online ? "open" : "offline";
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Messages added and not yet settled. */
  get backlog(): number {
    return this.#offset + this.#slots.length - this.#head;
  }

  /** The first message that is not settled. */
  get oldest(): T | undefined {
    return this.#slots[this.#head - this.#offset]?.message;
  }

  get inFlight(): number {
    return this.#next - this.#head;
  }

  get ready(): boolean {
    return !this.#full;
  }

  add(message: T): void {
    this.#slots.push({ message, outcome: undefined, forgotten: false });
    this.#backlogBytes += message.size;
    const { maxBacklog, maxBacklogBytes } = this.#limits;
    if (this.backlog > maxBacklog || this.#backlogBytes > maxBacklogBytes) this.#full = true;
  }

  /** The next message to send now, if any. It counts as sent under `lastNumber`. */
  take(): T | undefined {
    for (;;) {
      if (!this.#maySend()) return undefined;
      const slot = this.#slots[this.#next - this.#offset];
      if (slot === undefined) return undefined;
      this.#next++;
      this.#inFlightBytes += slot.message.size;
      if (!slot.forgotten) {
        this.#unanswered++;
        return slot.message;
      }
      slot.outcome = REFUSED;
      this.#release();
    }
  }

  /** What is in flight may still be stored; nothing of it is sent (again), and nobody is told. */
  forget(unwanted: (message: T) => boolean): void {
    for (let at = this.#head - this.#offset; at < this.#slots.length; at++) {
      const slot = this.#slots[at];
      if (slot !== undefined && unwanted(slot.message)) slot.forgotten = true;
    }
  }

  /** The number of the message that `take` gave last. */
  get lastNumber(): number {
    return this.#next - 1 + this.#shift;
  }

  /** The message sent under this number, unless it is of an earlier round. */
  message(number: number): T | undefined {
    return this.#sent(number)?.message;
  }

  /** The message need not be sent again. */
  settle(number: number, outcome: Outcome): void {
    const slot = this.#sent(number);
    if (slot === undefined || slot.outcome !== undefined) return;
    slot.outcome = outcome;
    this.#unanswered--;
    if (this.#phase === "probing") this.#phase = "open";
    this.#release();
    this.#goBackWhenSettled();
  }

  /** The message was not stored this time. False when the number is of an earlier round. */
  fail(number: number): boolean {
    const slot = this.#sent(number);
    if (slot === undefined || slot.outcome !== undefined) return false;
    this.#unanswered--;
    this.#phase = "settling";
    this.#goBackWhenSettled();
    return true;
  }

  /** After `pausing`: tries again. */
  retry(): void {
    if (this.#phase === "pausing") this.#phase = "probing";
  }

  /** Nothing in flight is answered any more. */
  disconnected(): void {
    this.#goBack("offline");
  }

  connected(): void {
    if (this.#phase === "offline") this.#phase = "open";
  }

  /**
   * To be called at even intervals. True when nothing has moved for `patience` of them: then what is
   * in flight is given up and sent again after `retry`.
   */
  tick(patience: number): boolean {
    const stuck = this.inFlight > 0 && this.#head === this.#tickHead;
    this.#tickHead = this.#head;
    this.#idleTicks = stuck ? this.#idleTicks + 1 : 0;
    if (this.#idleTicks < patience) return false;
    this.#idleTicks = 0;
    this.#goBack("pausing");
    return true;
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
  }

  /** Forgets everything, without a call of `settled`. */
  discard(): void {
    if (this.#phase === "settling" || this.#phase === "probing") this.#phase = "open";
    this.#goBack(this.#phase);
    this.#offset += this.#slots.length;
    // Positions go on, so that answers to forgotten messages find nothing.
    this.#shift -= this.#offset - this.#head;
    this.#head = this.#offset;
    this.#next = this.#offset;
    this.#slots = [];
    this.#backlogBytes = 0;
    this.#full = false;
  }

  #maySend(): boolean {
    if (this.#held) return false;
    if (this.#phase === "probing") return this.inFlight === 0;
    return (
      this.#phase === "open" &&
      this.inFlight < this.#limits.maxInFlight &&
      this.#inFlightBytes < this.#limits.maxInFlightBytes
    );
  }

  #sent(number: number): Slot<T> | undefined {
    const position = number - this.#shift;
    if (position < this.#head || position >= this.#next) return undefined;
    return this.#slots[position - this.#offset];
  }

  /** Settles in append order, so a caller never sees a later message stored before an earlier one. */
  #release(): void {
    // A callback may add or discard, so nothing is kept in variables across it.
    while (this.#head < this.#next) {
      const slot = this.#slots[this.#head - this.#offset];
      if (slot?.outcome === undefined) break;
      this.#slots[this.#head - this.#offset] = undefined;
      this.#head++;
      this.#inFlightBytes -= slot.message.size;
      this.#backlogBytes -= slot.message.size;
      this.#updateFull();
      if (slot.forgotten) continue;
      try {
        this.#owner.settled(slot.message, slot.outcome);
      } catch (reason) {
        this.#owner.fault(reason);
      }
    }
    this.#compact();
  }

  #updateFull(): void {
    if (!this.#full) return;
    const { maxBacklog, maxBacklogBytes } = this.#limits;
    this.#full = this.backlog > maxBacklog / 2 || this.#backlogBytes > maxBacklogBytes / 2;
  }

  #compact(): void {
    const settled = this.#head - this.#offset;
    if (settled === this.#slots.length) this.#slots.length = 0;
    else if (settled >= COMPACT_AFTER) this.#slots.splice(0, settled);
    else return;
    this.#offset = this.#head;
  }

  #goBackWhenSettled(): void {
    if (this.#phase === "settling" && this.#unanswered === 0) this.#goBack("pausing");
  }

  /**
   * What was stored behind a message that was not is sent again as well: it would stand before
   * its predecessor otherwise.
   */
  #goBack(phase: Phase): void {
    for (let position = this.#head; position < this.#next; position++) {
      const slot = this.#slots[position - this.#offset];
      if (slot) slot.outcome = undefined;
    }
    this.#shift += this.#next - this.#head;
    this.#next = this.#head;
    this.#unanswered = 0;
    this.#inFlightBytes = 0;
    this.#phase = phase;
  }
}
