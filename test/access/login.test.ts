import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE, type CloseReason } from "../../internal/status/close.ts";
import { type ClientFrameInit, connectClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { TEST_TLS } from "../support/tls.ts";
import { tokenOf } from "./fakes.ts";
import { type ClientKind, startNode, type TestNode } from "./node.ts";
import { kick, setRooms } from "./orders.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});

afterEach(() => at[Symbol.asyncDispose]());

const token = tokenOf({ device: "phone", user: "ann" });

const KINDS: [string, ClientKind][] = [
  ["WebSocket and JSON", { encoding: "json" }],
  ["WebSocket and protobuf", { encoding: "proto" }],
  ["TCP", { protocol: "tcp" }],
];

describe.each(KINDS)("a login over %s", (_, kind) => {
  test("is answered with the connection's id, node and limits", async () => {
    const client = await at.connect(kind);
    client.send({ login: { token } });
    expect(await client.next("welcome")).toMatchObject({
      connectionId: "test-1.1",
      node: "test-1",
      heartbeatSeconds: 30,
      resumed: false,
      limits: { maxFrameBytes: 65_536, maxRooms: 100, idleSeconds: 75 },
    });
    expect(at.node.connections).toBe(1);
  });

  test("is welcomed only once the log has it", async () => {
    at.log.holding = true;
    const client = await at.connect(kind);
    client.send({ login: { token } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    client.send({ ping: { foreground: true } });
    await client.next("pong");
    expect(client.queue).toEqual([]);
    expect(at.node.connections).toBe(0);
    at.log.storeAll();
    await client.next("welcome");
  });

  const refusals: [string, ClientFrameInit, CloseReason, string][] = [
    ["an expired token", { login: { token: "expired" } }, "token-expired", "expired"],
    ["a forged token", { login: { token: "forged" } }, "token-invalid", "does not verify"],
    ["no token", { login: {} }, "bad-frame", "login.token must not be empty"],
    [
      "too many rooms to resume",
      { login: { token, resume: { rooms: Array.from({ length: 101 }, () => ({ room: "r" })) } } },
      "bad-frame",
      "login.resume.rooms must be at most 100",
    ],
    ["a token that makes the verifier crash", { login: { token: "crash" } }, "internal", "fault"],
  ];

  test.each(refusals)("with %s is refused, and says why", async (_, frame, reason, text) => {
    const client = await at.connect(kind);
    client.send(frame);
    const close = await client.next("close");
    expect(close.code).toBe(CLOSE[reason].code);
    expect(close.reason).toContain(text);
    expect(close.reconnect !== undefined).toBe(close.code < 4_200);
    const { code } = await client.ended;
    if (kind.protocol !== "tcp") expect(code).toBe(CLOSE[reason].code);
    expect(at.log.entries).toEqual([]);
    expect(at.metrics.ends[reason]).toBe(1);
  });
});

describe("a login", () => {
  test("is told when to come back while the node takes none", async () => {
    at.log.serving = false;
    expect(at.node.ready()).toBe(false);
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      const client = await at.connect();
      client.send({ login: { token } });
      const { code, reconnect } = await client.next("close");
      expect(code).toBe(CLOSE.overloaded.code);
      times.push(reconnect?.afterMs ?? 0);
    }
    expect(Math.min(...times)).toBeGreaterThan(0);
  });

  test("that is abandoned before the log has it is ended in the log, once", async () => {
    at.log.holding = true;
    const client = await at.connect();
    client.send({ login: { token } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    await client.close();
    await eventually("and of the end", () => at.log.entries.length === 2);
    at.log.storeAll();
    expect(at.log.entries).toEqual([
      { kind: "opened", device: "phone" },
      { kind: "closed", device: "phone", reason: "client-closed" },
    ]);
    expect(at.node.connections).toBe(0);
  });

  test("may resume rooms, which are joined after the welcome, each by itself", async () => {
    const client = await at.connect();
    const rooms = [{ room: "a" }, { room: "" }, { room: "b" }];
    client.send({ login: { token, resume: { connectionId: "old.7", rooms } } });
    expect((await client.next("welcome")).resumed).toBe(true);
    expect((await client.next("error")).reason).toBe("join.room must not be empty");
    expect([(await client.next("joined")).room, (await client.next("joined")).room]).toEqual([
      "a",
      "b",
    ]);
    // In the record of the login, and in no other.
    expect(at.log.entries).toEqual([{ kind: "opened", device: "phone", rooms: ["a", "b"] }]);
  });

  test("keeps what businesses order meanwhile: rooms are changed when it is welcomed", async () => {
    at.log.holding = true;
    const client = await at.connect();
    client.send({ login: { token, resume: { rooms: [{ room: "a" }, { room: "b" }] } } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    expect(at.log.events.order(setRooms(1n, { join: ["c"], leave: ["a"] }))).toBe(true);
    expect(at.log.events.order(setRooms(2n, { join: ["c"] }))).toBe(false);
    at.log.storeAll();
    await client.next("welcome");
    await eventually("the rooms are changed", () => at.log.rooms("phone")?.join() === "b,c");
  });

  test("that a business kicks is over at once", async () => {
    at.log.holding = true;
    const client = await at.connect();
    client.send({ login: { token } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    expect(at.log.events.order(kick(1n, CLOSE.kicked.code))).toBe(true);
    expect((await client.next("close")).code).toBe(CLOSE.kicked.code);
    at.log.storeAll();
    expect(at.log.ends("phone")).toEqual(["kicked"]);
  });

  test("of a client with every kind of id is known to the log as it is", async () => {
    const device = "a.b*c> d😀";
    await at.login({ device });
    expect(at.log.entries).toEqual([{ kind: "opened", device }]);
  });
});

describe("the end of a connection", () => {
  const ends: [string, (at: TestNode) => Promise<unknown>, string][] = [
    ["the client closes", async ({ login }) => (await login()).client.close(), "client-closed"],
    ["the client vanishes", async ({ login }) => (await login()).client.abort(), "transport-error"],
    [
      "the client logs out",
      async ({ login }) => (await login()).client.send({ logout: {} }),
      "logout",
    ],
    [
      "the client sends what is not allowed",
      async ({ login }) => (await login()).client.send({ login: { token } }),
      "not-allowed",
    ],
  ];

  test.each(ends)("is told to the log once when %s", async (_, act, reason) => {
    await act(at);
    await eventually("the log is told", () => at.log.ends("d1").length > 0);
    await eventually("the connection is gone", () => at.metrics.connections === 0);
    expect(at.log.ends("d1")).toEqual([reason]);
    expect(at.node.connections).toBe(0);
  });

  test("is not told to the log when there was no login", async () => {
    await (await at.connect()).close();
    await eventually("the connection is gone", () => at.metrics.connections === 0);
    expect(at.log.entries).toEqual([]);
  });
});

test("a node that stops sends its clients elsewhere, and takes no more", async () => {
  const { client } = await at.login();
  const waiting = await at.connect();
  const [url] = at.node.endpoints().map((endpoint) => endpoint.url);
  await at.node[Symbol.asyncDispose]();
  for (const one of [client, waiting]) {
    const close = await one.next("close");
    expect(close.code).toBe(CLOSE["going-away"].code);
    expect(close.reconnect).toBeDefined();
  }
  expect(at.log.ends("d1")).toEqual(["going-away"]);
  expect(at.node.ready()).toBe(false);
  await expect(connectClient({ url: url ?? "" })).rejects.toThrow("ECONNREFUSED");
});

test("a node with a certificate takes encrypted connections, and tells that in its addresses", async () => {
  await using encrypted = await startNode({ config: { tls: TEST_TLS } });
  expect(encrypted.node.endpoints().map(({ url }) => url.split(":")[0])).toEqual(["wss", "tls"]);
  for (const [, kind] of KINDS) await encrypted.login({}, kind);
});

test("a node that has an address of its own for clients tells them that one", async () => {
  const websocket = { host: "127.0.0.1", port: 0, url: "wss://gateway.example/connect" };
  await using behindProxy = await startNode({ config: { websocket } });
  expect(behindProxy.node.endpoints()[0]).toEqual({
    protocol: "websocket",
    url: "wss://gateway.example/connect",
  });
});

test("a node that cannot listen says which address, and leaves nothing behind", async () => {
  const { port } = new URL(at.node.endpoints()[0]?.url ?? "");
  const taken = { host: "127.0.0.1", port: Number(port), url: undefined };
  await expect(startNode({ config: { tcp: taken } })).rejects.toThrow(
    `127.0.0.1:${port} is in use`,
  );
});
