import { describe, expect, test } from "vitest";
import { Door, LEAST_COMING, SAMPLE_MS } from "../../internal/transport/door.ts";
import { Parking } from "../../internal/transport/parking.ts";

const GOOD = { logAgeMs: 5, ownersLagMs: 0, loopLateMs: 2 };
const BAD = { ...GOOD, logAgeMs: 3_000 };

function sample(door: Door, measures: typeof GOOD, times = 1): void {
  for (let i = 0; i < times; i++) door.sample(measures, SAMPLE_MS);
}

/** As many as want to come in. */
function enter(door: Door, wanting: number): number {
  let entered = 0;
  for (let i = 0; i < wanting; i++) if (door.enter()) entered += 1;
  return entered;
}

describe("the door", () => {
  test("lets in as many at once as its limit, and others when those are through or gone", () => {
    const door = new Door();
    const { limit } = door;
    expect(enter(door, 10_000)).toBe(limit);
    door.through();
    door.leave();
    expect(enter(door, 10)).toBe(2);
    expect(door.coming).toBe(limit);
  });

  test("counts one that is through out once, whenever its connection ends", () => {
    const door = new Door();
    enter(door, 1);
    door.through();
    expect(door.coming).toBe(0);
    door.throughLeaving();
    door.leave();
    expect(door.coming).toBe(0);
  });

  test.each([
    ["the log's acknowledgements", { ...GOOD, logAgeMs: 1_500 }],
    ["the owners", { ...GOOD, ownersLagMs: 3_000 }],
    ["its own loop", { ...GOOD, loopLateMs: 1_400 }],
  ])("is overloaded when a queue stands in %s, and not by a burst", (_, bad) => {
    const door = new Door();
    for (let i = 0; i < 20; i++) {
      sample(door, bad, 4);
      sample(door, GOOD);
      expect(door.overloaded).toBe(false);
    }
    sample(door, bad, 5);
    expect(door.overloaded).toBe(true);
    sample(door, GOOD);
    expect(door.overloaded).toBe(false);
  });

  test("lets fewer in while it is overloaded, but never none, and more again when it is not", () => {
    const door = new Door();
    const { limit } = door;
    enter(door, 10_000);
    sample(door, BAD, 5);
    expect(door.limit).toBeLessThan(limit);
    expect(door.isOverfull).toBe(true);
    for (let i = 0; i < limit; i++) door.leave();
    sample(door, BAD, 1_000);
    expect(door.limit).toBe(LEAST_COMING);
    for (let i = 0; i < 50; i++) {
      enter(door, 10_000);
      sample(door, GOOD);
    }
    expect(door.limit).toBeGreaterThan(limit);
  });

  test("does not grow while nobody is kept out", () => {
    const door = new Door();
    const { limit } = door;
    sample(door, GOOD, 1_000);
    expect(door.limit).toBe(limit);
  });

  test("knows how many it can welcome a second: the best so far, or what it does under overload", () => {
    const door = new Door();
    const second = (welcomes: number, measures: typeof GOOD) => {
      for (let i = 0; i < 10; i++) {
        for (let n = 0; n < welcomes / 10; n++) door.welcomed();
        sample(door, measures);
      }
    };
    for (let i = 0; i < 20; i++) second(1_800, GOOD);
    expect(door.perSecond).toBeCloseTo(1_800, -1);
    for (let i = 0; i < 60; i++) second(0, GOOD);
    expect(door.perSecond).toBeCloseTo(1_800, -1);
    for (let i = 0; i < 20; i++) second(200, BAD);
    expect(door.perSecond).toBeCloseTo(200, -1);
  });
});

describe("those who wait outside", () => {
  test("are called newest first, and turned away oldest first when there are too many", () => {
    const parking = new Parking<number>({ most: 3, longestMs: 1_000 });
    const over = [1, 2, 3, 4, 5].map((one) => parking.park(one, one));
    expect(over).toEqual([undefined, undefined, undefined, 1, 2]);
    expect([parking.newest(), parking.newest(), parking.newest(), parking.newest()]).toEqual([
      5,
      4,
      3,
      undefined,
    ]);
  });

  test("go when their time is over", () => {
    const parking = new Parking<number>({ most: 10, longestMs: 1_000 });
    parking.park(1, 0);
    parking.park(2, 500);
    expect(parking.expired(999)).toBeUndefined();
    expect(parking.expired(1_000)).toBe(1);
    expect(parking.expired(1_000)).toBeUndefined();
    expect(parking.size).toBe(1);
  });
});
