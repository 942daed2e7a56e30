import { describe, expect, test } from "vitest";
import { inSlices } from "../../internal/clock/slices.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Each item takes a millisecond. */
class WorkingClock extends VirtualClock {
  worked = 0;

  override monotonic(): number {
    return super.monotonic() + this.worked;
  }
}

function* numbers(count: number): Generator<number> {
  for (let i = 0; i < count; i++) yield i;
}

describe("a pass over many things", () => {
  test("takes no turn longer than its slice, and comes to an end", () => {
    const clock = new WorkingClock();
    const turns: number[] = [];
    let inTurn = 0;
    let done = false;
    inSlices(
      numbers(23),
      () => {
        clock.worked += 1;
        inTurn += 1;
      },
      {
        clock: {
          ...clock,
          now: () => clock.now(),
          monotonic: () => clock.monotonic(),
          every: (ms, fire) => clock.every(ms, fire),
          turnEnd: (fire) => clock.turnEnd(fire),
          after: (ms, fire) => {
            turns.push(inTurn);
            inTurn = 0;
            return clock.after(ms, fire);
          },
        },
        done: () => {
          done = true;
        },
      },
    );
    expect(inTurn + turns.length).toBeGreaterThan(0);
    clock.advance(0);
    expect(done).toBe(true);
    expect(turns).toEqual([5, 5, 5, 5]);
    expect(inTurn).toBe(3);
  });

  test("does at once what fits in one turn", () => {
    const seen: number[] = [];
    inSlices(numbers(3), (one) => seen.push(one), { clock: new VirtualClock() });
    expect(seen).toEqual([0, 1, 2]);
  });

  test("goes at the rate that it is held to", () => {
    const clock = new VirtualClock();
    let seen = 0;
    inSlices(numbers(10_000), () => seen++, { clock, perSecond: 1_000 });
    expect(seen).toBeLessThanOrEqual(50);
    clock.advance(1_000);
    expect(seen).toBeGreaterThanOrEqual(1_000);
    expect(seen).toBeLessThanOrEqual(1_100);
    clock.advance(9_000);
    expect(seen).toBe(10_000);
  });

  test("takes in what comes meanwhile, and leaves out what has gone, as its items do", () => {
    const clock = new VirtualClock();
    const items = new Set([1, 2, 3]);
    const seen: number[] = [];
    inSlices(items, (one) => seen.push(one), { clock, sliceMs: 0 });
    items.delete(2);
    items.add(4);
    clock.advance(0);
    expect(seen).toEqual([1, 3, 4]);
  });

  test("stops where it is when it is cancelled", () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const pass = inSlices(numbers(10), (one) => seen.push(one), { clock, sliceMs: 0 });
    pass.cancel();
    clock.advance(1_000);
    expect(seen).toEqual([0]);
  });
});
