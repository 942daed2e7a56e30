import type { Random } from "../../internal/clock/clock.ts";

/** The same numbers for the same seed, for ever (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `from` to `to`, both included. */
export function wholeNumber(random: Random, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1));
}

export function pick<T>(random: Random, among: readonly T[]): T {
  if (among.length === 0) throw new Error("nothing to pick from");
  return among[Math.floor(random() * among.length)] as T;
}

/** Times between events that come independently of each other, `mean` apart on average. */
export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean;
}
