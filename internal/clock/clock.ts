/**
 * Time and chance stand behind these interfaces, so that a seeded simulation can run the real code.
 */
export interface Clock {
  /** Wall clock, Unix milliseconds. For people and for tokens; never for measuring silence. */
  now(): number;
  /** Milliseconds from an arbitrary start, never going backwards. */
  monotonic(): number;
  /** Calls `fire` once, `delayMs` from now, unless cancelled. Does not keep the process alive. */
  after(delayMs: number, fire: () => void): Timer;
  /** Calls `fire` again and again, `intervalMs` apart, until cancelled. Does not keep the process alive. */
  every(intervalMs: number, fire: () => void): Timer;
  /** Calls `fire` when what is happening now is done: once for all that comes in one turn of the event loop. */
  turnEnd(fire: () => void): void;
}

export interface Timer {
  cancel(): void;
}

/** A number from 0 up to but not including 1, like Math.random. */
export type Random = () => number;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, fire) {
    const handle = setTimeout(fire, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  every(intervalMs, fire) {
    const handle = setInterval(fire, intervalMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
  turnEnd: (fire) => void setImmediate(fire),
};
