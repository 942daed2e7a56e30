import { type Clock, systemClock } from "../clock/clock.ts";

/** A token bucket: `tokens` as of `at`, monotonic milliseconds. Below zero: reserved by those who wait. */
interface Tokens {
  tokens: number;
  at: number;
}

export interface RateLimitOptions {
  perSecond: number;
  clock?: Clock;
}

/** Lets each key do so many things a second, and as many at once after a second of rest. */
export class RateLimit {
  readonly perSecond: number;
  readonly #clock: Clock;
  readonly #buckets = new Map<string, Tokens>();

  constructor(options: RateLimitOptions) {
    this.perSecond = options.perSecond;
    this.#clock = options.clock ?? systemClock;
  }

  /** Takes one if there is one. */
  take(key: string): boolean {
    const bucket = this.#refilled(key);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** Takes one that may still have to come. @returns milliseconds until it has. */
  reserve(key: string): number {
    const bucket = this.#refilled(key);
    bucket.tokens--;
    return bucket.tokens >= 0 ? 0 : (-bucket.tokens * 1_000) / this.perSecond;
  }

  #refilled(key: string): Tokens {
    const now = this.#clock.monotonic();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: this.perSecond, at: now };
      this.#buckets.set(key, bucket);
    }
    const come = ((now - bucket.at) * this.perSecond) / 1_000;
    bucket.tokens = Math.min(this.perSecond, bucket.tokens + come);
    bucket.at = now;
    return bucket;
  }
}
