import { expect, test } from "vitest";
import { loadLifts } from "../../../internal/projector/delivery/log-lifts.ts";
import type { ReadRecord } from "../../../streams/records.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";

const bucket = new MemoryBucket();

/** A log as far as it can be asked: which records it has. */
function load(log: Map<number, number>, read: ReadRecord[], nowMs: number) {
  const holds = async (_partition: number, sequence: number, storedAtMs: number) =>
    log.get(sequence) === storedAtMs;
  return loadLifts({ partition: 3, bucket, reader: { holds }, read, nowMs });
}

test("after a log has lost its end, deliveries are above all that it gave before, for every owner", async () => {
  const log = new Map(Array.from({ length: 10 }, (_, i) => [100 + i, 1_000 + i]));
  const read = [{ sequence: 109, storedAtMs: 1_009, readAtMs: 1_010 }];
  const whole = await load(log, read, 1_100);
  expect([whole.isWhole, whole.lifts.of(1_009)]).toEqual([true, 0]);

  // The power is cut, and it has grown past the same sequence by the time it is looked at.
  for (let i = 5; i < 15; i++) log.set(100 + i, 2_000 + i);
  const { isWhole, lifts } = await load(log, read, 2_100);
  expect(isWhole).toBe(false);
  expect(lifts.of(1_004)).toBe(0);
  expect(105 + lifts.of(2_005)).toBeGreaterThan(109);

  // Whoever comes next sees the same, and that it is allowed for.
  const next = await load(log, read, 2_200);
  expect(next.isWhole).toBe(false);
  expect(next.lifts.list).toEqual(lifts.list);
  const newer = [{ sequence: 114, storedAtMs: 2_014, readAtMs: 2_250 }];
  const later = await load(log, newer, 2_300);
  expect([later.isWhole, later.lifts.of(2_014)]).toEqual([true, lifts.of(2_005)]);

  // Again.
  for (let i = 12; i < 20; i++) log.set(100 + i, 3_000 + i);
  const twice = await load(log, newer, 3_100);
  expect(twice.lifts.of(2_011)).toBe(lifts.of(2_011));
  expect(112 + twice.lifts.of(3_012)).toBeGreaterThan(114 + lifts.of(2_014));
});
