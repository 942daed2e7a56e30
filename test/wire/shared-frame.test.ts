import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { SharedFrame } from "../../internal/wire/shared-frame.ts";
import { OPCODE_BINARY, websocketFrame } from "../../internal/wire/websocket-frame.ts";
import { LeftSchema, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const left = create(LeftSchema, { room: "lobby" });
const message = create(ServerFrameSchema, { body: { case: "left", value: left } });
const binary = toBinary(ServerFrameSchema, message);

describe("a frame for many sockets", () => {
  test.each([
    ["made from a message", SharedFrame.of({ case: "left", value: left })],
    ["given as bytes", SharedFrame.fromBinary(binary)],
    ["given as a message", SharedFrame.fromMessage(message)],
  ])("%s says the same in every form", (_, frame) => {
    const tcp = frame.bytes("tcp");
    expect(tcp.readUInt32BE(0)).toBe(tcp.length - 4);
    expect(fromBinary(ServerFrameSchema, tcp.subarray(4))).toEqual(message);

    const webSocketBinary = frame.bytes("websocket-binary");
    expect(webSocketBinary[0]).toBe(0x82);
    expect(webSocketBinary[1]).toBe(binary.length);
    expect(fromBinary(ServerFrameSchema, webSocketBinary.subarray(2))).toEqual(message);

    const text = frame.bytes("websocket-text");
    expect(text[0]).toBe(0x81);
    expect(fromJsonString(ServerFrameSchema, text.subarray(2).toString())).toEqual(message);
  });

  test("is framed once: every socket of a kind gets the same bytes", () => {
    const frame = SharedFrame.fromBinary(binary);
    for (const form of ["tcp", "websocket-binary", "websocket-text"] as const) {
      expect(frame.bytes(form)).toBe(frame.bytes(form));
    }
  });
});

describe("the header of a WebSocket frame", () => {
  test.each([
    [0, "8200"],
    [125, "827d"],
    [126, "827e007e"],
    [65_535, "827effff"],
    [65_536, "827f0000000000010000"],
  ])("for %i bytes is %s", (length, header) => {
    const frame = websocketFrame(OPCODE_BINARY, new Uint8Array(length).fill(7));
    expect(frame.subarray(0, header.length / 2).toString("hex")).toBe(header);
    expect(frame.length).toBe(header.length / 2 + length);
    if (length > 0) expect(frame[frame.length - 1]).toBe(7);
  });
});
