/**
 * How many may be coming in at once: connections that were let in and are not welcomed yet. Beyond that
 * they wait outside, where they cost nothing, and not in front of a log or an owner that is behind.
 *
 * Queues tell when there are too many: after CoDel (Nichols and Jacobson, 2012), one that was above its
 * target at every sample of a window is a standing queue, however low its bursts. Then fewer are let in
 * at once, and more again while it is not and they are wanted: additive increase, multiplicative decrease.
 */

/** What stands in the way of a login, sampled every SAMPLE_MS. Milliseconds. */
export interface Measures {
  /** Age of the oldest record that the log has not acknowledged. */
  logAgeMs: number;
  /** How far the owners of partitions are behind the log. */
  ownersLagMs: number;
  /** How late this process's own event loop is. */
  loopLateMs: number;
}

export const SAMPLE_MS = 100;
/**
 * A loop is late for want of CPU, too, which letting fewer in does not cure: only a second of it says
 * that this process has more to do than it can.
 */
const TARGETS: Measures = { logAgeMs: 1_000, ownersLagMs: 2_000, loopLateMs: 1_000 };
/** Samples above a target, without one below it between them, that make a standing queue. */
const WINDOW_SAMPLES = 5;

export const LEAST_COMING = 16;
const MOST_COMING = 16_384;
const FIRST_LIMIT = 256;
/** A limit that is used up grows by so much a sample, and by a share of itself. */
const INCREASE = 16;
const INCREASE_SHARE = 1 / 16;
const DECREASE = 0.7;
/** So many too many are inside before logins are turned away for whom most of the work is done. */
const LENIENCE = 64;

/** Before anything is known: who comes back too early costs little, who comes too late is missed. */
const FIRST_PER_SECOND = 1_000;
/** Also while it welcomes nobody: then it is about to again. */
const LEAST_PER_SECOND = 20;
/** Over so long the rate of welcomes is averaged. */
const RATE_MS = 3_000;

export class Door {
  #limit: number;
  /** Let in and not gone, and those of them that are not coming in any more. */
  #inside = 0;
  #through = 0;
  /** The limit has kept somebody out since the last sample. */
  #usedUp = false;
  /** Samples above a target since the last one that was not. */
  #above = 0;
  #welcomed = 0;
  #perSecond = FIRST_PER_SECOND;

  constructor(firstLimit = FIRST_LIMIT) {
    this.#limit = firstLimit;
  }

  /** Those let in and not through yet. */
  get coming(): number {
    return Math.max(0, this.#inside - this.#through);
  }

  get limit(): number {
    return this.#limit;
  }

  get overloaded(): boolean {
    return this.#above >= WINDOW_SAMPLES;
  }

  /** Far more are coming in than may. */
  get isOverfull(): boolean {
    return this.overloaded && this.coming > this.#limit + LENIENCE;
  }

  /** What it was seen to take: while it is overloaded its rate of welcomes, else the best so far. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Lets one in, unless there are too many. */
  enter(): boolean {
    if (this.coming >= this.#limit) {
      this.#usedUp = true;
      return false;
    }
    this.#inside += 1;
    return true;
  }

  /** Its connection is over, whether it came through or not. */
  leave(): void {
    this.#inside -= 1;
  }

  /** One is through: welcomed, or not to be counted any more. */
  through(): void {
    this.#through += 1;
  }

  /** One that was through is leaving. */
  throughLeaving(): void {
    this.#through -= 1;
  }

  welcomed(): void {
    this.#welcomed += 1;
  }

  /** `elapsedMs`: since the last sample. */
  sample(measures: Measures, elapsedMs: number): void {
    this.#above = isAbove(measures) ? this.#above + 1 : 0;
    this.#measureRate(elapsedMs);
    if (this.overloaded) {
      // Once a window: what was changed shows only after a while.
      if (this.#above % WINDOW_SAMPLES === 0) this.#decrease();
    } else if (this.#usedUp && this.#above === 0) {
      const more = INCREASE + Math.floor(this.#limit * INCREASE_SHARE);
      this.#limit = Math.min(MOST_COMING, this.#limit + more);
    }
    this.#usedUp = false;
  }

  /** From what is really there: a limit that nobody has reached says nothing. */
  #decrease(): void {
    const used = Math.min(this.#limit, this.coming);
    this.#limit = Math.max(LEAST_COMING, Math.floor(used * DECREASE));
  }

  #measureRate(elapsedMs: number): void {
    const measured = (this.#welcomed * 1_000) / elapsedMs;
    this.#welcomed = 0;
    const weight = 1 - Math.exp(-elapsedMs / RATE_MS);
    const average = this.#perSecond + (measured - this.#perSecond) * weight;
    // A rate below the best is a lack of clients, unless there are too many.
    const rate = this.overloaded ? average : Math.max(average, this.#perSecond);
    this.#perSecond = Math.max(LEAST_PER_SECOND, rate);
  }
}

function isAbove(measures: Measures): boolean {
  return (
    measures.logAgeMs > TARGETS.logAgeMs ||
    measures.ownersLagMs > TARGETS.ownersLagMs ||
    measures.loopLateMs > TARGETS.loopLateMs
  );
}
