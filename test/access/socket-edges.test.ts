/** What a WebSocket library of good manners never sends: floods of pongs, and all in one write. */
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { eventually } from "../support/eventually.ts";
import { closeFrame, pongFrame, RawWebSocket, textFrame } from "../support/raw-websocket.ts";
import { tokenOf } from "./fakes.ts";
import { startNode, type TestNode } from "./node.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});
afterEach(() => at[Symbol.asyncDispose]());

const PING = '{"ping":{"foreground":true}}';
const UPLINK = '{"uplink":{"business":"nobody","requestId":"7","text":"hi"}}';

async function loggedIn(): Promise<RawWebSocket> {
  const socket = await RawWebSocket.open(at.endpoint("websocket"));
  socket.write(textFrame(JSON.stringify({ login: { token: tokenOf({}) } })));
  await eventually("welcome", () => socket.messages.length === 1);
  socket.messages.length = 0;
  return socket;
}

describe("a flood of pongs that nobody asked for", () => {
  const PONGS = Buffer.concat(Array.from({ length: 10_000 }, pongFrame));

  test.each([
    ["before the login", () => RawWebSocket.open(at.endpoint("websocket"))],
    ["after the login", loggedIn],
  ])("%s ends the connection as rate-limited, and others are answered", async (_, open) => {
    const { client } = await at.login({ device: "other" });
    using flood = await open();
    for (let n = 0; n < 200; n++) flood.write(PONGS);
    client.send({ ping: { foreground: true } });
    await client.next("pong");
    expect(await flood.closed()).toBe(CLOSE["rate-limited"].code);
    expect(JSON.parse(flood.messages.at(-1) ?? "{}")).toMatchObject({
      close: { code: CLOSE["rate-limited"].code },
    });
    expect(at.metrics.ends["rate-limited"]).toBe(1);
    client.send({ ping: { foreground: true } });
    await client.next("pong");
  });

  test("is not read to its end: the peer's writes wait, and it is cut", async () => {
    using flood = await RawWebSocket.open(at.endpoint("websocket"));
    const ended = new Promise((done) => flood.socket.once("close", done));
    // It goes on for as long as it is let.
    const more = () => {
      while (!flood.socket.destroyed && flood.socket.write(PONGS));
    };
    flood.socket.on("drain", more);
    more();
    expect(await flood.closed()).toBe(CLOSE["rate-limited"].code);
    await ended;
  });
});

describe("frames and the end in one write: what answers the frames comes first", () => {
  test.each([
    ["a pong", PING, "pong"],
    ["an uplink_ack", UPLINK, "uplinkAck"],
  ])("%s before the Close of a WebSocket", async (_, frame, answer) => {
    using socket = await loggedIn();
    socket.write(Buffer.concat([textFrame(frame), closeFrame(1000)]));
    expect(await socket.closed()).toBe(1000);
    expect(socket.messages.map((text) => Object.keys(JSON.parse(text)))).toEqual([[answer]]);
  });

  test("a pong before the end of a WebSocket that ends without Close", async () => {
    using socket = await loggedIn();
    socket.socket.end(textFrame(PING));
    expect(await socket.closed()).toBe("cut");
    expect(socket.messages.map((text) => JSON.parse(text))).toEqual([{ pong: {} }]);
  });

  test("a close for bad JSON before the end of TCP", async () => {
    const socket = connect(Number(at.endpoint("tcp").port), "127.0.0.1");
    // A frame of one byte that is no protobuf, and FIN with it.
    socket.end(Buffer.from("HFD1\x00\x00\x00\x01\x0f", "latin1"));
    const received = Buffer.concat(await socket.toArray());
    expect(received.toString("latin1")).toContain("not a protobuf ClientFrame");
  });
});
