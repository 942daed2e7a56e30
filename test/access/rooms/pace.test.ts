import { expect, test } from "vitest";
import {
  afterMessage,
  afterRound,
  newPace,
  type Pace,
  waitMs,
} from "../../../internal/access/rooms/pace.ts";

/** After messages so far apart. */
function messages(pace: Pace, count: number, everyMs: number): Pace {
  let now = pace;
  for (let i = 0; i < count; i += 1) now = afterMessage(now, now.atMs + everyMs);
  return now;
}

test("while there are few, each goes at once; so does a burst of ten", () => {
  expect(waitMs(messages(newPace(0), 1_000, 60))).toBe(0);
  expect(waitMs(messages(newPace(0), 10, 0))).toBe(0);
  expect(waitMs(messages(newPace(0), 11, 0))).toBe(20);
});

test("when there are many they wait for a window, and not any more when it is quiet again", () => {
  const busy = messages(newPace(0), 200, 5);
  expect(waitMs(busy)).toBe(20);
  // As it goes on, none of them goes at once.
  for (let i = 0; i < 100; i += 1) expect(waitMs(messages(busy, i, 5))).toBe(20);
  expect(waitMs(afterMessage(busy, busy.atMs + 1_000))).toBe(0);
});

test("the window grows while giving out takes much of it, and shrinks again", () => {
  let pace = newPace(0);
  for (const windowMs of [40, 80, 160, 200, 200]) {
    pace = afterRound(pace, pace.windowMs);
    expect(pace.windowMs).toBe(windowMs);
  }
  expect(afterRound(pace, 50).windowMs).toBe(200);
  for (const windowMs of [100, 50, 25, 20, 20]) {
    pace = afterRound(pace, 1);
    expect(pace.windowMs).toBe(windowMs);
  }
});
