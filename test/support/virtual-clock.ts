import type { Clock, Timer } from "../../internal/clock/clock.ts";

interface Pending {
  atMs: number;
  everyMs: number | undefined;
  fire: () => void;
}

/** Time that moves only when told to. Timers fire in the order of their time, at their time. */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  #elapsedMs = 0;
  readonly #pending = new Set<Pending>();

  constructor(startMs = Date.UTC(2024, 0, 1)) {
    this.#startMs = startMs;
  }

  now(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, fire: () => void): Timer {
    return this.#add({ atMs: this.#elapsedMs + delayMs, everyMs: undefined, fire });
  }

  every(intervalMs: number, fire: () => void): Timer {
    return this.#add({ atMs: this.#elapsedMs + intervalMs, everyMs: intervalMs, fire });
  }

  /** A turn ends when time moves, if only by 0. */
  turnEnd(fire: () => void): void {
    this.after(0, fire);
  }

  advance(byMs: number): void {
    const until = this.#elapsedMs + byMs;
    for (;;) {
      const next = this.#earliest();
      if (next === undefined || next.atMs > until) break;
      this.#elapsedMs = next.atMs;
      if (next.everyMs === undefined) this.#pending.delete(next);
      else next.atMs += next.everyMs;
      next.fire();
    }
    this.#elapsedMs = until;
  }

  /** Time passes, but no timer fires: the process was stopped. They fire late with the next `advance`. */
  stall(byMs: number): void {
    this.#elapsedMs += byMs;
    for (const pending of this.#pending) {
      if (pending.atMs < this.#elapsedMs) pending.atMs = this.#elapsedMs;
    }
  }

  #add(pending: Pending): Timer {
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  #earliest(): Pending | undefined {
    let earliest: Pending | undefined;
    for (const pending of this.#pending) {
      if (earliest === undefined || pending.atMs < earliest.atMs) earliest = pending;
    }
    return earliest;
  }
}
