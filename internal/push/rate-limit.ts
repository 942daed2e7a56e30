import { LRUCache } from "lru-cache";
import { type Clock, systemClock } from "../clock/clock.ts";

/** A token bucket: `tokens` as of `at`, monotonic milliseconds. Below zero: reserved by those who wait. */
interface Tokens {
  tokens: number;
  at: number;
}

/** Names beyond these begin anew, those that were not used for the longest time first. */
const NAMES_KEPT = 10_000;

/** Lets each name do so many things a second, each its own number, and as many at once after a second of rest. */
export class KeyRateLimit {
  readonly #clock: Clock;
  readonly #buckets = new LRUCache<string, Tokens>({ max: NAMES_KEPT });

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Takes one if there is one. */
  take(name: string, perSecond: number): boolean {
    const bucket = this.#refilled(name, perSecond);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** Takes one that may still have to come. @returns milliseconds until it has. */
  reserve(name: string, perSecond: number): number {
    const bucket = this.#refilled(name, perSecond);
    bucket.tokens--;
    return bucket.tokens >= 0 ? 0 : (-bucket.tokens * 1_000) / perSecond;
  }

  #refilled(name: string, perSecond: number): Tokens {
    const now = this.#clock.monotonic();
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = { tokens: perSecond, at: now };
      this.#buckets.set(name, bucket);
    }
    const come = ((now - bucket.at) * perSecond) / 1_000;
    bucket.tokens = Math.min(perSecond, bucket.tokens + come);
    bucket.at = now;
    return bucket;
  }
}

export interface RateLimitOptions {
  perSecond: number;
  clock?: Clock;
}

/** The same number for every name. */
export class RateLimit {
  readonly perSecond: number;
  readonly #limit: KeyRateLimit;

  constructor({ perSecond, clock }: RateLimitOptions) {
    this.perSecond = perSecond;
    this.#limit = new KeyRateLimit(clock);
  }

  take(name: string): boolean {
    return this.#limit.take(name, this.perSecond);
  }

  reserve(name: string): number {
    return this.#limit.reserve(name, this.perSecond);
  }
}
