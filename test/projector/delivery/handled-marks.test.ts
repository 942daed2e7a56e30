import { expect, test } from "vitest";
import { HandledMarks } from "../../../internal/projector/delivery/handled-marks.ts";
import { MemoryBucket } from "../../support/memory-bucket.ts";

test("what is handled is known to the next owner, and never goes back, whoever writes it", async () => {
  const bucket = new MemoryBucket();
  const former = new HandledMarks(bucket, 3);
  const next = new HandledMarks(bucket, 3);
  await former.raise("demo", "d1", 10);
  expect(await next.of("demo", "d1")).toBe(10);
  await next.raise("demo", "d1", 20);
  // It does not know of that, and comes late.
  await former.raise("demo", "d1", 15);
  await former.raise("demo", "d1", 12);
  expect(await next.of("demo", "d1")).toBe(20);
  await former.raise("demo", "d1", 30);
  expect(await new HandledMarks(bucket, 3).of("demo", "d1")).toBe(30);
  expect(await next.of("demo", "d2")).toBe(0);
});

test("what could not be written is an error", async () => {
  const bucket = new MemoryBucket();
  bucket.put = (_key, _value, _expected, done) => done({ kind: "unknown" });
  await expect(new HandledMarks(bucket, 3).raise("demo", "d1", 10)).rejects.toMatchObject({
    code: "unavailable",
  });
});
