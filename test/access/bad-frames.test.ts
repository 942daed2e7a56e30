/** One bad client costs one connection: the others never notice. */
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { CLOSE, type CloseReason } from "../../internal/status/close.ts";
import type { TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { frame, RawWebSocket, textFrame } from "../support/raw-websocket.ts";
import { type ClientKind, startNode, type TestNode } from "./node.ts";

let at: TestNode;
let bystander: TestClient;

beforeEach(async () => {
  at = await startNode({ config: { maxFrameBytes: 1_000 } });
  bystander = (await at.login({ device: "bystander" })).client;
});

afterEach(async () => {
  bystander.send({ ping: { foreground: true } });
  await bystander.next("pong");
  expect(at.log.ends("bystander")).toEqual([]);
  await at[Symbol.asyncDispose]();
});

const json: ClientKind = { encoding: "json" };
const proto: ClientKind = { encoding: "proto" };
const tcp: ClientKind = { protocol: "tcp" };

test.each<[string, ClientKind, Uint8Array | string, CloseReason, string]>([
  ["JSON that is none", json, "{", "bad-frame", "not JSON"],
  ["JSON of another shape", json, '{"join":7}', "bad-frame", "not a JSON ClientFrame"],
  ["JSON without a body", json, "{}", "bad-frame", "it is one of login, ping"],
  ["protobuf that is none", proto, Buffer.of(0x0f), "bad-frame", "not a protobuf ClientFrame"],
  ["an empty message", proto, Buffer.of(), "bad-frame", "it is one of login, ping"],
  ["protobuf that is none, on TCP", tcp, Buffer.of(0x0f), "bad-frame", "not a protobuf"],
  ["a frame of length zero on TCP", tcp, Buffer.of(), "bad-frame", "length of zero"],
  ["a long frame on TCP", tcp, Buffer.alloc(1_001), "frame-too-large", "at most 1000"],
  ["text where binary was agreed on", proto, "{}", "bad-protocol", "a text message"],
  ["binary where text was agreed on", json, Buffer.of(1), "bad-protocol", "a binary message"],
  ["a second login", json, '{"login":{"token":"x"}}', "not-allowed", "login while active"],
  ["a refresh without token", json, '{"refresh":{}}', "bad-frame", "refresh.token must not be"],
])("%s ends the connection that sent it", async (_, kind, frame, reason, text) => {
  const { client } = await at.login({ device: "bad" }, kind);
  client.sendRaw(frame);
  const close = await client.next("close");
  expect(close.code).toBe(CLOSE[reason].code);
  expect(close.reason).toContain(text);
  expect(close.reconnect).toBeUndefined();
  const { code } = await client.ended;
  if (kind !== tcp) expect(code).toBe(CLOSE[reason].code);
  expect(at.log.ends("bad")).toEqual([reason]);
});

test.each<[string, ClientKind, Buffer, number, CloseReason]>([
  ["a long message", json, textFrame("x".repeat(1_001)), 1009, "frame-too-large"],
  ["a long message in binary", proto, frame(0x82, Buffer.alloc(1_001)), 1009, "frame-too-large"],
  ["text that is not UTF-8", json, frame(0x81, Buffer.of(0xff)), 1007, "bad-frame"],
  ["a reserved bit", proto, frame(0xc2, Buffer.of(0)), 1002, "bad-protocol"],
])(
  "%s is WebSocket's own fault, and ends with its own code",
  async (_, kind, bytes, code, reason) => {
    const socket = await RawWebSocket.open(at.endpoint("websocket"), kind.encoding);
    socket.write(bytes);
    expect(await socket.closed()).toBe(code);
    // No frame of our protocol, unless it is our rule that was broken.
    const told = socket.messages.map((text) => JSON.parse(text).close.code);
    expect(told).toEqual(code === 1009 && kind === json ? [CLOSE[reason].code] : []);
    expect(at.metrics.ends[reason]).toBe(1);
  },
);

test.each([
  ["another protocol", "GET / HTTP/1.1\r\n\r\n", "bad-protocol"],
  ["the magic in lower case", "hfd1", "bad-protocol"],
  ["a length of 4 GiB", "HFD1\xff\xff\xff\xff", "frame-too-large"],
] as const)("TCP that begins with %s is closed", async (_, bytes, reason) => {
  const tcpEndpoint = at.node.endpoints().find(({ protocol }) => protocol === "tcp");
  const socket = connect(Number(new URL(tcpEndpoint?.url ?? "").port), "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  socket.write(Buffer.from(bytes, "latin1"));
  await new Promise((resolve) => socket.on("close", resolve));
  expect(at.metrics.ends[reason]).toBe(1);
});

test("a reason too long for a WebSocket close frame is whole in Close, and the code is the same", async () => {
  const { client } = await at.login({ device: "bad" });
  client.sendRaw(`{"join":{"room":${"1".repeat(200)}}}`);
  const close = await client.next("close");
  expect(Buffer.byteLength(close.reason)).toBeGreaterThan(123);
  expect((await client.ended).code).toBe(CLOSE["bad-frame"].code);
});

describe("a request that breaks a rule is refused, and the connection stays:", () => {
  test.each([
    ["a room without a name", '{"join":{}}', "join.room must not be empty"],
    [
      "a room of 129 bytes",
      JSON.stringify({ join: { room: "r".repeat(129) } }),
      "join.room must be at most 128 bytes",
    ],
    ["a room with a line break", '{"join":{"room":"a\\nb"}}', "control characters"],
    ["leaving a room without a name", '{"leave":{}}', "leave.room must not be empty"],
    [
      "an uplink to no business",
      '{"uplink":{"requestId":"7"}}',
      "uplink.business must not be empty",
    ],
    [
      "an uplink without request id",
      '{"uplink":{"business":"b"}}',
      "uplink.request_id must not be empty",
    ],
  ])("%s", async (_, frame, reason) => {
    const { client } = await at.login();
    client.sendRaw(frame);
    const error = await client.next("error");
    expect(error.code).toBe(CLOSE["bad-frame"].code);
    expect(error.reason).toContain(reason);
    if (frame.includes('"7"')) expect(error.requestId).toBe("7");
    client.send({ ping: { foreground: true } });
    await client.next("pong");
  });
});

test("too many frames in a short time end the connection, and the client is told to wait", async () => {
  const { client } = await at.login({ device: "bad" });
  for (let i = 0; i < 1_000; i += 1) client.send({ ping: { foreground: true } });
  const close = await client.next("close");
  expect(close.code).toBe(CLOSE["rate-limited"].code);
  expect(close.reconnect).toBeDefined();
});

test("too many WebSocket pings count like frames", async () => {
  const [endpoint] = at.node.endpoints();
  const socket = new WebSocket(endpoint?.url ?? "");
  await new Promise((resolve) => socket.on("open", resolve));
  for (let i = 0; i < 1_000; i += 1) socket.ping();
  const code = await new Promise((resolve) => socket.on("close", resolve));
  expect(code).toBe(CLOSE["rate-limited"].code);
});

test("a fault in the node costs the connection it happened in", async () => {
  const { client } = await at.login({ device: "bad" });
  at.log.roomsChanged = () => {
    throw new TypeError("a bug");
  };
  client.send({ join: { room: "lobby" } });
  expect((await client.next("close")).code).toBe(CLOSE.internal.code);
  await eventually("counted", () => at.metrics.faults === 1);
});
