/**
 * One timer for any number of deadlines: a hashed timer wheel (Varghese and Lauck, 1987, scheme 6).
 * A slot is a ring of entries linked through the entries themselves, so that a deadline costs no
 * allocation, and setting or removing one costs a handful of assignments.
 */
import type { Clock, Timer } from "./clock.ts";

/**
 * Something with a deadline. It is due at most one tick late, never early. The fields belong to the
 * wheel; start with `undefined` and 0.
 */
export interface WheelEntry {
  wheelPrevious: WheelEntry | undefined;
  wheelNext: WheelEntry | undefined;
  /** On the wheel's own clock, see `Wheel.now`. */
  dueAtMs: number;
  /** The deadline has passed. The entry is off the wheel and may be put on it again. */
  due(nowMs: number): void;
}

/** The fixed point of a slot's ring. */
class Slot implements WheelEntry {
  wheelPrevious: WheelEntry = this;
  wheelNext: WheelEntry = this;
  dueAtMs = 0;
  due(): void {}
}

/**
 * However late a tick comes, no more than this many ticks have passed on the wheel. A process that
 * was stopped or starved has not listened meanwhile, so its peers' silence must not count.
 */
const MOST_TICKS_AT_ONCE = 4;

export class Wheel {
  readonly #slots: Slot[];
  readonly #firing = new Slot();
  readonly #tickMs: number;
  readonly #clock: Clock;
  readonly #timer: Timer;
  #lastTickAtMs: number;
  #ticks = 0;

  constructor(clock: Clock, options: { tickMs?: number; slots?: number } = {}) {
    const { tickMs = 100, slots = 1024 } = options;
    this.#slots = Array.from({ length: slots }, () => new Slot());
    this.#tickMs = tickMs;
    this.#clock = clock;
    this.#lastTickAtMs = clock.monotonic();
    this.#timer = clock.every(tickMs, () => this.#advance());
  }

  /** The wheel's own time in milliseconds: moves in ticks, and only while the process runs. */
  get now(): number {
    return this.#ticks * this.#tickMs;
  }

  /** Sets the deadline of an entry, which may be on the wheel already. */
  schedule(entry: WheelEntry, delayMs: number): void {
    this.remove(entry);
    // A tick is already running: without one more, a deadline could pass early.
    const ticks = this.#ticks + Math.max(1, Math.ceil(delayMs / this.#tickMs)) + 1;
    entry.dueAtMs = ticks * this.#tickMs;
    append(this.#slot(ticks), entry);
  }

  remove(entry: WheelEntry): void {
    const { wheelPrevious, wheelNext } = entry;
    if (wheelPrevious === undefined || wheelNext === undefined) return;
    wheelPrevious.wheelNext = wheelNext;
    wheelNext.wheelPrevious = wheelPrevious;
    entry.wheelPrevious = undefined;
    entry.wheelNext = undefined;
  }

  stop(): void {
    this.#timer.cancel();
  }

  #slot(tick: number): Slot {
    const slot = this.#slots[tick % this.#slots.length];
    if (slot === undefined) throw new RangeError(`no slot for tick ${tick}`);
    return slot;
  }

  #advance(): void {
    const now = this.#clock.monotonic();
    const passed = Math.floor((now - this.#lastTickAtMs) / this.#tickMs);
    if (passed <= 0) return;
    this.#lastTickAtMs =
      passed > MOST_TICKS_AT_ONCE ? now : this.#lastTickAtMs + passed * this.#tickMs;
    for (let left = Math.min(passed, MOST_TICKS_AT_ONCE); left > 0; left -= 1) this.#tick();
  }

  #tick(): void {
    this.#ticks += 1;
    const now = this.now;
    const slot = this.#slot(this.#ticks);
    for (let entry = slot.wheelNext; entry !== slot; ) {
      const next = entry.wheelNext ?? slot;
      if (entry.dueAtMs <= now) {
        this.remove(entry);
        append(this.#firing, entry);
      }
      entry = next;
    }
    // From a ring of their own, so that an entry may remove or reschedule any other meanwhile.
    for (
      let entry = this.#firing.wheelNext;
      entry !== this.#firing;
      entry = this.#firing.wheelNext
    ) {
      this.remove(entry);
      entry.due(now);
    }
  }
}

function append(ring: Slot, entry: WheelEntry): void {
  const last = ring.wheelPrevious;
  entry.wheelPrevious = last;
  entry.wheelNext = ring;
  last.wheelNext = entry;
  ring.wheelPrevious = entry;
}
