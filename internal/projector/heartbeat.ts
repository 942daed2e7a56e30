/** The sign of life of a projector, which must go out also while its main loop has no time for it. */

/** How often the others are told. */
export const BEAT_EVERY_MS = 1_000;
/** A main loop that has not moved for this long will not: then others had better take over. */
export const STUCK_MS = 30_000;

/** Sends the beats. Frozen together with the process, but not held up by its main loop. */
export interface Heartbeat {
  /** What the beats say from now on; the first goes out at once. */
  say(beat: Uint8Array): void;
  /** The main loop moves. */
  moved(): void;
}

/** Whether the main loop still moves, looked at from beside it. */
export class MainLoop {
  #steps = 0;
  #movedAt: number;

  constructor(now: number) {
    this.#movedAt = now;
  }

  /** `steps`: a number that the main loop changes whenever it moves. */
  moves(steps: number, now: number): boolean {
    if (steps !== this.#steps) {
      this.#steps = steps;
      this.#movedAt = now;
    }
    return now - this.#movedAt < STUCK_MS;
  }
}
