import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Wheel, type WheelEntry } from "../../internal/clock/wheel.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

class Entry implements WheelEntry {
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;
  firedAtMs: number[] = [];
  readonly #clock: VirtualClock;
  readonly #then: () => void;

  constructor(clock: VirtualClock, then: () => void = () => {}) {
    this.#clock = clock;
    this.#then = then;
  }

  due(): void {
    this.firedAtMs.push(this.#clock.monotonic());
    this.#then();
  }
}

const TICK = 10;

function setUp() {
  const clock = new VirtualClock();
  return { clock, wheel: new Wheel(clock, { tickMs: TICK, slots: 8 }) };
}

describe("a deadline on the wheel", () => {
  test("passes once, never early and at most two ticks late, near or far", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(500), fc.nat(100))), (deadlines) => {
        const { clock, wheel } = setUp();
        const set = deadlines.map(([delay, wait]) => {
          clock.advance(wait);
          const entry = new Entry(clock);
          const atMs = clock.monotonic() + delay;
          wheel.schedule(entry, delay);
          return { entry, atMs };
        });
        clock.advance(1_000);
        for (const { entry, atMs } of set) {
          expect(entry.firedAtMs).toHaveLength(1);
          expect(entry.firedAtMs[0]).toBeGreaterThanOrEqual(atMs);
          expect(entry.firedAtMs[0]).toBeLessThanOrEqual(atMs + 2 * TICK);
        }
      }),
    );
  });

  test("that was removed does not pass", () => {
    const { clock, wheel } = setUp();
    const entry = new Entry(clock);
    wheel.schedule(entry, 50);
    wheel.remove(entry);
    wheel.remove(entry);
    clock.advance(1_000);
    expect(entry.firedAtMs).toEqual([]);
  });

  test("that was set again passes at the new time only", () => {
    const { clock, wheel } = setUp();
    const entry = new Entry(clock);
    wheel.schedule(entry, 50);
    wheel.schedule(entry, 200);
    clock.advance(190);
    expect(entry.firedAtMs).toEqual([]);
    clock.advance(30);
    expect(entry.firedAtMs).toHaveLength(1);
  });

  test("may remove and move others that are due in the same tick", () => {
    const { clock, wheel } = setUp();
    const removed = new Entry(clock);
    const moved = new Entry(clock);
    const untouched = new Entry(clock);
    const first = new Entry(clock, () => {
      wheel.remove(removed);
      wheel.schedule(moved, 100);
      wheel.schedule(first, 300);
    });
    for (const entry of [first, removed, moved, untouched]) wheel.schedule(entry, 20);
    clock.advance(60);
    expect(removed.firedAtMs).toEqual([]);
    expect(moved.firedAtMs).toEqual([]);
    expect(untouched.firedAtMs).toHaveLength(1);
    clock.advance(100);
    expect(moved.firedAtMs).toHaveLength(1);
    expect(first.firedAtMs).toHaveLength(1);
  });

  test("does not pass because the process was stopped for long", () => {
    const { clock, wheel } = setUp();
    const entry = new Entry(clock);
    wheel.schedule(entry, 1_000);
    clock.stall(20_000);
    clock.advance(500);
    expect(entry.firedAtMs).toEqual([]);
    clock.advance(1_000);
    expect(entry.firedAtMs).toHaveLength(1);
  });
});
