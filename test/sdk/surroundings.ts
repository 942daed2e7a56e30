import type { Surroundings } from "../../sdk/surroundings.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A virtual clock and a seeded random source: every run of a test makes the same choices. */
export class TestSurroundings implements Surroundings {
  readonly clock = new VirtualClock();
  inForeground = true;
  looked: () => void = () => {};
  networkBack: () => void = () => {};
  readonly random: () => number;

  constructor(seed = 1) {
    this.random = seededRandom(seed);
  }

  now(): number {
    return this.clock.now();
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = this.clock.after(delayMs, fire);
    return () => timer.cancel();
  }

  foreground(): boolean {
    return this.inForeground;
  }

  watch(looked: () => void, networkBack: () => void): () => void {
    this.looked = looked;
    this.networkBack = networkBack;
    return () => {
      this.looked = () => {};
      this.networkBack = () => {};
    };
  }
}

/** mulberry32: 32 bits of state, good enough to choose by. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
