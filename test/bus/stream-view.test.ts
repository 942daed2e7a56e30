import { expect, test } from "vitest";
import { breakIn, type StreamView } from "../../internal/bus/stream-view.ts";

const view = (firstSequence: number, lastSequence: number, created = "monday"): StreamView => ({
  created,
  firstSequence,
  lastSequence,
});
const reader = (position: number, complete = true) => ({ position, complete });

test("a stream that still has what follows is read on", () => {
  expect(breakIn(undefined, view(1, 10), reader(5))).toBeUndefined();
  expect(breakIn(view(1, 10), view(6, 10), reader(5))).toBeUndefined();
  expect(breakIn(undefined, view(11, 10), reader(10))).toBeUndefined();
});

test("a stream that has lost what follows is broken for who needs all of it", () => {
  expect(breakIn(undefined, view(7, 10), reader(5))).toMatch(/begins at sequence 7/);
  expect(breakIn(undefined, view(11, 10), reader(5))).toMatch(/begins at sequence 11/);
  expect(breakIn(undefined, view(7, 10), reader(5, false))).toBeUndefined();
});

test("who reads from the oldest misses nothing", () => {
  expect(breakIn(undefined, view(7, 10), reader(0))).toBeUndefined();
});

test("a stream that ends before what was read, or is another by the same name, is broken", () => {
  expect(breakIn(undefined, view(1, 4), reader(5))).toMatch(/ends at sequence 4/);
  expect(breakIn(view(1, 9), view(1, 9, "tuesday"), reader(5, false))).toMatch(/made anew/);
});
