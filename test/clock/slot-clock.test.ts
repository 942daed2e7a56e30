import { describe, expect, test } from "vitest";
import { SlotClock } from "../../internal/clock/slot-clock.ts";

const LATEST = { random: () => 0, ahead: 0 };

describe("times to come back", () => {
  test("follow each other as fast as clients can be taken, behind those who are there", () => {
    const slots = new SlotClock();
    const about = { ...LATEST, perSecond: 100, ahead: 50 };
    expect([1, 2, 3].map(() => slots.take(0, about))).toEqual([510, 520, 530]);
    expect(slots.backlogMs(100)).toBe(430);
  });

  test("begin at once again when nobody waits any more", () => {
    const slots = new SlotClock();
    for (let i = 0; i < 100; i++) slots.take(0, { ...LATEST, perSecond: 100 });
    expect(slots.take(5_000, { ...LATEST, perSecond: 100 })).toBe(10);
  });

  test("are never farther away than a minute, and left to chance by a quarter", () => {
    const slots = new SlotClock();
    const waits = Array.from({ length: 1_000 }, (_, i) =>
      slots.take(0, { perSecond: 1, ahead: 0, random: () => (i % 10) / 10 }),
    );
    expect(Math.max(...waits)).toBe(60_000);
    const last = waits.slice(-10);
    expect(Math.min(...last)).toBeLessThan(50_000);
    expect(Math.min(...last)).toBeGreaterThanOrEqual(45_000);
  });
});
