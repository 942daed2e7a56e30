import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeClientFrame } from "../../internal/wire/codec.ts";
import { fieldProblem } from "../../internal/wire/validate.ts";
import { ProtocolViolation } from "../../internal/wire/violation.ts";
import { ClientFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { ClientFrameInit } from "../support/client.ts";

const json = (text: string) => decodeClientFrame(Buffer.from(text), "json");
const proto = (hex: string) => decodeClientFrame(Buffer.from(hex, "hex"), "proto");

function violation(decode: () => unknown): ProtocolViolation {
  try {
    decode();
  } catch (error) {
    if (error instanceof ProtocolViolation) return error;
    throw error;
  }
  throw new Error("no violation");
}

describe("a client frame", () => {
  test("is the same in both encodings", () => {
    const frame = create(ClientFrameSchema, {
      body: { case: "join", value: { room: "lobby", position: 7n } },
    });
    const decoded = decodeClientFrame(toBinary(ClientFrameSchema, frame), "proto");
    expect(decoded).toEqual(json('{"join":{"room":"lobby","position":"7"}}'));
  });

  test("may be a view into a larger buffer", () => {
    const chunk = Buffer.from('xx{"ping":{}}yy');
    expect(decodeClientFrame(chunk.subarray(2, -2), "json").case).toBe("ping");
  });

  test("may hold fields of a newer protocol, in both encodings", () => {
    expect(json('{"ping":{"foreground":true,"mood":"good"},"trace":1}').case).toBe("ping");
    expect(proto("1204080178016a00").case).toBe("ping");
  });

  test.each([
    ["not JSON", "{"],
    ["not a JSON ClientFrame", "[]"],
    ["not a JSON ClientFrame", "null"],
    ["not a JSON ClientFrame", '"login"'],
    ["not a JSON ClientFrame", '{"join":{"room":5}}'],
    ["not a JSON ClientFrame", '{"ping":{},"logout":{}}'],
    ["the frame has no known body; it is one of login, ping", "{}"],
    ["the frame has no known body; it is one of login, ping", '{"longin":{}}'],
  ])("in JSON is refused as %s: %s", (message, text) => {
    const problem = violation(() => json(text));
    expect(problem.reason).toBe("bad-frame");
    expect(problem.message).toContain(message);
  });

  test.each([
    ["a field cut short", "0a05"],
    ["a wire type that does not exist", "0f"],
    ["text that is not UTF-8", "22030a01ff"],
    ["a length beyond the end", "0affffffff0f"],
  ])("in binary is refused with %s", (_, hex) => {
    expect(violation(() => proto(hex)).message).toContain("not a protobuf ClientFrame");
  });

  test("in binary is refused without a body", () => {
    expect(violation(() => proto("")).message).toContain("no known body");
  });

  test("of any bytes is decoded or refused, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom("proto", "json"), (data, e) => {
        try {
          decodeClientFrame(data, e);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("the fields of a frame", () => {
  const problem = (frame: ClientFrameInit) => fieldProblem(json(JSON.stringify(frame)));
  const uplink = { business: "chat", requestId: "1" };

  test.each<[string, ClientFrameInit, string | undefined]>([
    ["a good uplink", { uplink }, undefined],
    [
      "ids with every kind of character",
      { uplink: { ...uplink, business: "a.b*c> 😀" } },
      undefined,
    ],
    ["no business", { uplink: { requestId: "1" } }, "uplink.business must not be empty"],
    ["no request id", { uplink: { business: "chat" } }, "uplink.request_id must not be empty"],
    [
      "an id of 129 bytes",
      { uplink: { ...uplink, business: "b".repeat(129) } },
      "uplink.business must be at most 128 bytes",
    ],
    [
      "an id with a line break",
      { join: { room: "a\nb" } },
      "join.room must not hold control characters",
    ],
    ["an empty room", { leave: {} }, "leave.room must not be empty"],
    ["an empty token", { login: {} }, "login.token must not be empty"],
    [
      "a long token",
      { refresh: { token: "t".repeat(8_193) } },
      "refresh.token must be at most 8192 bytes",
    ],
    [
      "a long platform",
      { login: { token: "t", client: { platform: "é".repeat(65) } } },
      "login.client.platform must be at most 128 bytes",
    ],
    [
      "an endless connection id to resume",
      { login: { token: "t", resume: { connectionId: "c".repeat(257) } } },
      "login.resume.connection_id must be at most 256 bytes",
    ],
    [
      "too many metadata pairs",
      {
        uplink: {
          ...uplink,
          metadata: Object.fromEntries([...Array(33).keys()].map((i) => [i, ""])),
        },
      },
      "uplink.metadata must have at most 32 pairs",
    ],
    [
      "a long metadata key",
      { uplink: { ...uplink, metadata: { ["k".repeat(129)]: "" } } },
      "a key of uplink.metadata must be at most 128 bytes",
    ],
    [
      "a long metadata value",
      { uplink: { ...uplink, metadata: { k: "v".repeat(1_025) } } },
      "a value of uplink.metadata must be at most 1024 bytes",
    ],
    ["nothing to check", { ping: {} }, undefined],
  ])("are checked: %s", (_, frame, expected) => {
    expect(problem(frame)).toBe(expected);
  });
});
