/**
 * A rate with a burst, in two numbers: `tokens` left, and when that was true. Each event takes a
 * token; tokens come back at `perSecond` up to `burst`.
 */
export interface Rate {
  perSecond: number;
  burst: number;
}

/** The tokens after `elapsedMs` more. */
export function refilled(tokens: number, elapsedMs: number, rate: Rate): number {
  return Math.min(rate.burst, tokens + (elapsedMs * rate.perSecond) / 1000);
}

/** The same as an object, where there are few of them. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  /** Takes a token if there is one. */
  take(nowMs: number): boolean {
    this.#tokens = refilled(this.#tokens, nowMs - this.#atMs, this.#rate);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
