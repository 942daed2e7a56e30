import { expect, test } from "vitest";
import { SeenEvents } from "../../sdk/node-business-seen.ts";

const event = (device: string, sequence: number, what = "online", at = sequence) => {
  return { id: `3.${sequence}.${what}`, device, sequence, at };
};

test("what is below a device's newest is a repeat, however late it comes", () => {
  const seen = new SeenEvents();
  for (const one of [event("d1", 10), event("d2", 11), event("d1", 12, "offline")]) {
    expect(seen.isRepeat(one)).toBe(false);
    seen.add(one);
  }
  expect(seen.isRepeat(event("d1", 10))).toBe(true);
  expect(seen.isRepeat(event("d2", 10))).toBe(true);
  expect(seen.isRepeat(event("d1", 13))).toBe(false);
});

test("events of one record are told apart by their ids", () => {
  const seen = new SeenEvents();
  seen.add(event("d1", 10, "leave"));
  expect(seen.isRepeat(event("d1", 10, "offline"))).toBe(false);
  seen.add(event("d1", 10, "offline"));
  expect(seen.isRepeat(event("d1", 10, "leave"))).toBe(true);
  expect(seen.isRepeat(event("d1", 10, "offline"))).toBe(true);
});

test("a log that has lost its newest records counts from further back, and its events are new", () => {
  const seen = new SeenEvents();
  seen.add(event("d1", 100, "online", 1_000));
  const after = event("d1", 90, "offline", 2_000);
  expect(seen.isRepeat(after)).toBe(false);
  seen.add(after);
  expect(seen.isRepeat(event("d1", 91, "online", 2_100))).toBe(false);
});

test("it remembers a bounded number of devices, those of late", () => {
  const seen = new SeenEvents(2);
  for (const device of ["d1", "d2", "d1", "d3"]) seen.add(event(device, 10));
  expect(seen.isRepeat(event("d1", 9))).toBe(true);
  expect(seen.isRepeat(event("d3", 9))).toBe(true);
  expect(seen.isRepeat(event("d2", 9))).toBe(false);
});
