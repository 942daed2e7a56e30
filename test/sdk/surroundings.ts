import type { Surroundings } from "../../sdk/surroundings.ts";
import { seededRandom } from "../support/seeded-random.ts";
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
