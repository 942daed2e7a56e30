import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { inflate } from "../../sdk/inflate.ts";

test("gives what was compressed, at every level", () => {
  const texts = fc.array(fc.constantFrom("hello", "a", "lorem ipsum", "\u{1f600}"), {
    maxLength: 3_000,
  });
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 5_000 }),
    texts.map((t) => Buffer.from(t.join(" "))),
  );
  fc.assert(
    fc.property(data, fc.integer({ min: 0, max: 9 }), (bytes, level) => {
      const packed = deflateSync(bytes, { level });
      expect(Buffer.from(inflate(packed)).equals(Buffer.from(bytes))).toBe(true);
    }),
  );
});

test("refuses what is cut off or is something else", () => {
  const packed = deflateSync(Buffer.from("hello, hello, hello"));
  for (let length = 0; length < packed.length - 4; length += 1) {
    expect(() => inflate(packed.subarray(0, length))).toThrow(RangeError);
  }
  expect(() => inflate(Uint8Array.of(0x1f, 0x8b, 0, 0))).toThrow(RangeError);
});
