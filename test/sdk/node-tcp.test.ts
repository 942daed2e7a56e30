import { expect, test } from "vitest";
import { FrameSplitter } from "../../sdk/node-tcp.ts";

const STREAM = Buffer.from("00000003616263" + "00000000" + "000000017a", "hex");
const FRAMES = ["abc", "", "z"];

test("frames are found wherever the stream is cut", () => {
  for (let cut = 0; cut <= STREAM.length; cut += 1) {
    const splitter = new FrameSplitter();
    const frames = [STREAM.subarray(0, cut), STREAM.subarray(cut)].flatMap((piece) =>
      splitter.push(piece),
    );
    expect(frames.map((frame) => Buffer.from(frame).toString())).toEqual(FRAMES);
  }
});

test("a length that cannot be right is refused before anything is kept", () => {
  expect(() => new FrameSplitter().push(Buffer.from("HTTP/1.1 400"))).toThrow(RangeError);
});
