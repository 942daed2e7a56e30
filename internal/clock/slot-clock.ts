import type { Random } from "./clock.ts";

/** Nobody is sent away for longer: what is true in a minute, nobody knows. */
const FARTHEST_MS = 60_000;
/** The part of a wait that is left to chance. */
const JITTER = 0.25;

/**
 * Gives those who cannot come in now a time to come back, one after the other, as fast as they can be
 * taken: so they come back as a stream and not as a wave.
 */
export class SlotClock {
  #lastMs = Number.NEGATIVE_INFINITY;

  /**
   * The time of the next one, in milliseconds from now.
   * `ahead`: how many are in front of everybody who was given a time.
   */
  take(nowMs: number, about: { perSecond: number; ahead: number; random: Random }): number {
    const { perSecond, ahead, random } = about;
    const first = nowMs + (1_000 * ahead) / perSecond;
    const slot = Math.max(first, this.#lastMs) + 1_000 / perSecond;
    this.#lastMs = Math.min(slot, nowMs + FARTHEST_MS);
    const waitMs = this.#lastMs - nowMs;
    return Math.ceil(waitMs * (1 - JITTER * random()));
  }

  /** How far away the last time given is. */
  backlogMs(nowMs: number): number {
    return Math.max(0, this.#lastMs - nowMs);
  }
}
