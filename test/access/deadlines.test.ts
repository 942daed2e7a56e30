import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeBeatSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { tokenOf } from "./fakes.ts";
import { type LoggedIn, startNode, type TestNode } from "./node.ts";
import { drain, kick, undrain } from "./orders.ts";

let clock: VirtualClock;
let at: TestNode;

beforeEach(async () => {
  clock = new VirtualClock();
  at = await startNode({ clock });
});

afterEach(() => at[Symbol.asyncDispose]());

const SECOND = 1_000;

/** The clock is virtual and the sockets are not: a ping's pong shows that all sent before was handled. */
async function ping({ client }: LoggedIn, foreground = true): Promise<number> {
  client.send({ ping: { foreground } });
  return (await client.next("pong")).heartbeatSeconds;
}

async function closeCode({ client }: Pick<LoggedIn, "client">): Promise<number> {
  return (await client.next("close")).code;
}

describe("a client that does not log in", () => {
  test("is closed after 5 seconds", async () => {
    const client = await at.connect();
    clock.advance(4.8 * SECOND);
    expect(client.queue).toEqual([]);
    clock.advance(0.5 * SECOND);
    expect(await closeCode({ client })).toBe(CLOSE["login-timeout"].code);
  });

  test("is closed after 5 seconds on TCP too, where not even the magic has come", async () => {
    const client = await at.connect({ protocol: "tcp" });
    clock.advance(5.3 * SECOND);
    expect(await closeCode({ client })).toBe(CLOSE["login-timeout"].code);
  });

  test("has time enough once it has sent it: the log may be choosing a leader", async () => {
    at.log.holding = true;
    const client = await at.connect();
    clock.advance(4 * SECOND);
    client.send({ login: { token: tokenOf({}) } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    clock.advance(19 * SECOND);
    at.log.storeAll();
    await client.next("welcome");
  });

  test("is told when to come back when the log takes 20 s to store it", async () => {
    at.log.holding = true;
    const client = await at.connect();
    client.send({ login: { token: tokenOf({}) } });
    await eventually("the log is told", () => at.log.entries.length === 1);
    clock.advance(20.3 * SECOND);
    const { code, reconnect } = await client.next("close");
    expect(code).toBe(CLOSE.overloaded.code);
    expect(reconnect?.afterMs).toBeGreaterThan(0);
    expect(at.log.ends("d1")).toEqual(["overloaded"]);
  });
});

describe("a silent client", () => {
  test("is closed after two and a half heartbeats", async () => {
    const session = await at.login();
    clock.advance(74 * SECOND);
    expect(at.node.connections).toBe(1);
    clock.advance(1.5 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE.idle.code);
    expect(at.log.ends("d1")).toEqual(["idle"]);
  });

  test("is not closed while it pings", async () => {
    const session = await at.login();
    for (let i = 0; i < 5; i += 1) {
      clock.advance(60 * SECOND);
      expect(await ping(session)).toBe(0);
    }
    expect(at.node.connections).toBe(1);
  });

  test("may be silent for longer in the background, until it is in the foreground again", async () => {
    const session = await at.login();
    expect(await ping(session, false)).toBe(120);
    clock.advance(290 * SECOND);
    expect(await ping(session, false)).toBe(120);
    clock.advance(20 * SECOND);
    expect(await ping(session, true)).toBe(0);
    clock.advance(76 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE.idle.code);
  });

  test("is not taken for silent because the node itself was stopped", async () => {
    const session = await at.login();
    clock.stall(200 * SECOND);
    clock.advance(1 * SECOND);
    await ping(session);
    expect(at.node.connections).toBe(1);
  });
});

describe("a token", () => {
  const withToken = (lifeMs: number) => at.login({ expiresAtMs: clock.now() + lifeMs });

  async function pingFor(session: LoggedIn, seconds: number): Promise<void> {
    for (let left = seconds; left > 0; left -= 20) {
      clock.advance(Math.min(20, left) * SECOND);
      await ping(session);
    }
  }

  test("that expires ends the connection", async () => {
    const session = await withToken(100 * SECOND);
    await pingFor(session, 99);
    clock.advance(1.5 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE["token-expired"].code);
  });

  test("that was refreshed in time does not", async () => {
    const session = await withToken(100 * SECOND);
    const token = tokenOf({ expiresAtMs: clock.now() + 200 * SECOND });
    session.client.send({ refresh: { token } });
    await pingFor(session, 190);
    expect(at.node.connections).toBe(1);
    clock.advance(15 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE["token-expired"].code);
  });

  test("that is refreshed with a shorter one expires with that", async () => {
    const session = await withToken(100 * SECOND);
    const token = tokenOf({ expiresAtMs: clock.now() + 10 * SECOND });
    session.client.send({ refresh: { token } });
    await ping(session);
    clock.advance(11 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE["token-expired"].code);
  });

  test.each([
    ["another app", { app: "bank" }],
    ["another device", { device: "d2" }],
    ["another user", { user: "bob" }],
  ])("cannot be refreshed with one for %s", async (_, other) => {
    const { client } = await at.login();
    client.send({ refresh: { token: tokenOf(other) } });
    const close = await client.next("close");
    expect(close.code).toBe(CLOSE["token-invalid"].code);
    expect(close.reason).toContain("another app, device or user");
  });

  test.each([
    ["expired", "token-expired"],
    ["forged", "token-invalid"],
  ] as const)("cannot be refreshed with one that is %s", async (token, reason) => {
    const { client } = await at.login();
    client.send({ refresh: { token } });
    expect((await client.next("close")).code).toBe(CLOSE[reason].code);
  });
});

describe("a drain", () => {
  test("asks each client to leave, and closes those that stay, spread over the time given", async () => {
    const sessions = await Promise.all(
      Array.from({ length: 20 }, (_, i) => at.login({ device: `d${i}` })),
    );
    at.log.events.order(drain(60_000));
    // It first hears who else is there.
    clock.advance(1_199);
    expect(at.node.connections).toBe(20);
    let before = 20;
    for (let second = 1; second <= 60; second++) {
      clock.advance(SECOND);
      const now = at.node.connections;
      // Never many of them in one second.
      expect(before - now).toBeLessThanOrEqual(5);
      before = now;
    }
    const times = await Promise.all(
      sessions.map(async ({ client }) => (await client.next("drain")).withinMs),
    );
    expect(Math.max(...times)).toBeLessThanOrEqual(10_000);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(5_000);
    expect(new Set(times).size).toBeGreaterThan(10);
    expect(at.node.connections).toBe(0);
    for (const session of sessions) {
      expect(await closeCode(session)).toBe(CLOSE["going-away"].code);
    }
  });

  test("says where else clients may go: to nodes of the same kind that take some, each in its own order", async () => {
    const sessions = await Promise.all(
      Array.from({ length: 20 }, (_, i) => at.login({ device: `d${i}` })),
    );
    at.log.events.order(drain(60_000));
    const beat = (name: string, change: object = {}) => {
      const endpoints = [
        { url: `ws://${name}/connect`, protocol: "websocket" },
        { url: `tcp://${name}`, protocol: "tcp" },
      ];
      const incarnation = `${name}-1`;
      const sent = create(BeatSchema, { incarnation, name, endpoints, serving: true, ...change });
      at.messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, sent));
    };
    for (const name of ["a", "b", "c", "d", "e"]) beat(name);
    beat("canary", { labels: { pool: "canary" } });
    beat("drains", { draining: true });
    beat("alone", { serving: false });
    beat("full", { connections: 10, maxConnections: 10 });
    beat("itself", { endpoints: at.node.endpoints() });
    await Promise.resolve();
    for (let second = 0; second < 55; second++) {
      clock.advance(1_000);
      for (const name of ["a", "b", "c", "d", "e"]) beat(name);
      await Promise.resolve();
    }
    const told = await Promise.all(
      sessions.map(async ({ client }) => (await client.next("drain")).reconnect?.endpoints ?? []),
    );
    for (const endpoints of told) expect(endpoints).toHaveLength(4);
    const good = ["a", "b", "c", "d", "e"].map((name) => `ws://${name}/connect`);
    expect([...new Set(told.flat())].sort()).toEqual(good);
    expect(new Set(told.map(([first]) => first)).size).toBeGreaterThan(2);
  });

  test("leaves a client that has connected elsewhere the time to hear that, and closes it as replaced", async () => {
    const session = await at.login();
    at.log.events.order(drain(60_000));
    clock.advance(1_200);
    await session.client.next("drain");
    at.log.events.order(kick(session.counter, CLOSE.replaced.code));
    await ping(session);
    expect(at.node.connections).toBe(1);
    clock.advance(2 * SECOND);
    expect(await closeCode(session)).toBe(CLOSE.replaced.code);
  });

  test("that is taken back closes nobody", async () => {
    const session = await at.login();
    at.log.events.order(drain(1_000));
    clock.advance(250);
    await session.client.next("drain");
    at.log.events.order(undrain());
    clock.advance(10 * SECOND);
    await ping(session);
    expect(at.node.connections).toBe(1);
  });
});
