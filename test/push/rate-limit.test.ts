import { expect, test } from "vitest";
import { RateLimit } from "../../internal/push/rate-limit.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

test("an app may use its second's worth at once, then as fast as it is refilled", () => {
  const clock = new VirtualClock();
  const limit = new RateLimit({ perSecond: 10, clock });
  const taken = (tries: number) =>
    Array.from({ length: tries }, () => limit.take("a")).filter(Boolean).length;
  expect(taken(20)).toBe(10);
  clock.advance(300);
  expect(taken(20)).toBe(3);
  clock.advance(60_000);
  expect(taken(20)).toBe(10);
});

test("one app does not use up what another may", () => {
  const limit = new RateLimit({ perSecond: 1, clock: new VirtualClock() });
  expect([limit.take("a"), limit.take("a"), limit.take("b")]).toEqual([true, false, true]);
});

test("those who wait are spread over the time in which tokens come", () => {
  const clock = new VirtualClock();
  const limit = new RateLimit({ perSecond: 2, clock });
  const waits = () => [limit.reserve("a"), limit.reserve("a"), limit.reserve("a")];
  expect(waits()).toEqual([0, 0, 500]);
  clock.advance(500);
  expect(waits()).toEqual([500, 1_000, 1_500]);
});
