import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameReader } from "../../internal/wire/frame-reader.ts";
import { ProtocolViolation } from "../../internal/wire/violation.ts";

const MAX = 1_000;

/** What the reader gives for these chunks. */
function read(chunks: Buffer[], reader = new FrameReader(MAX)): string[] {
  const frames: string[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push(frame.toString("hex"));
    }
  }
  return frames;
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

function violation(hex: string): ProtocolViolation {
  try {
    read([bytes(hex)]);
  } catch (error) {
    if (error instanceof ProtocolViolation) return error;
  }
  throw new Error("no violation");
}

describe("frames on a TCP connection", () => {
  const stream = bytes("48464431 00000001 aa 00000003 bbccdd 00000002 eeff");
  const frames = ["aa", "bbccdd", "eeff"];

  test("are found in one chunk", () => {
    expect(read([stream])).toEqual(frames);
  });

  test("are found wherever the chunks are cut in two", () => {
    for (let cut = 0; cut <= stream.length; cut += 1) {
      expect(read([stream.subarray(0, cut), stream.subarray(cut)]), `cut at ${cut}`).toEqual(
        frames,
      );
    }
  });

  test("are found when they come byte by byte", () => {
    expect(read([...stream].map((byte) => Buffer.of(byte)))).toEqual(frames);
  });

  test("are found for any frames and any cuts", () => {
    const frame = fc.uint8Array({ minLength: 1, maxLength: MAX });
    fc.assert(
      fc.property(fc.array(frame), fc.array(fc.nat(5_000)), (sent, cuts) => {
        const parts = sent.flatMap((body) => {
          const length = Buffer.alloc(4);
          length.writeUInt32BE(body.length);
          return [length, Buffer.from(body)];
        });
        const whole = Buffer.concat([Buffer.from("HFD1"), ...parts]);
        const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)), whole.length];
        at.sort((a, b) => a - b);
        const chunks = at.slice(1).map((end, i) => whole.subarray(at[i], end));
        expect(read(chunks)).toEqual(sent.map((body) => Buffer.from(body).toString("hex")));
      }),
    );
  });

  test("are not given before their last byte", () => {
    expect(read([bytes("48464431 00000003 aabb")])).toEqual([]);
  });

  test("with a wrong magic are another protocol", () => {
    expect(violation("47455420").reason).toBe("bad-protocol");
  });

  test("of length zero are refused", () => {
    expect(violation("48464431 00000000").reason).toBe("bad-frame");
  });

  test("as long as allowed are taken", () => {
    const body = "ab".repeat(MAX);
    expect(read([bytes(`48464431 000003e8 ${body}`)])).toEqual([body]);
  });

  test("one byte too long are refused by their length alone", () => {
    const { reason, message } = violation("48464431 000003e9");
    expect(reason).toBe("frame-too-large");
    expect(message).toContain("1001 bytes; at most 1000");
  });

  test("of the greatest length there is are refused", () => {
    expect(violation("48464431 ffffffff").reason).toBe("frame-too-large");
  });
});
