import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { describe, expect, test } from "vitest";
import { type Connection, connect } from "../../internal/bus/connect.ts";
import { freePort } from "../../internal/nats-server/free-port.ts";
import type { HoldfastError } from "../../internal/status/errors.ts";
import { eventually } from "../support/eventually.ts";
import { testNats } from "../support/nats.ts";
import { bytes } from "./support.ts";

function open(url: string, options: { signal?: AbortSignal; credsFile?: string } = {}) {
  const waited: string[] = [];
  const faults: HoldfastError[] = [];
  const events = {
    waiting: (why: HoldfastError) => void waited.push(why.message),
    fault: (error: HoldfastError) => void faults.push(error),
  };
  const opening = connect({ urls: [url], name: "test", events, ...options });
  return { opening, waited, faults };
}

/** A TCP server that greets like a nats-server of this version, and answers pings. */
async function fakeNats(version: string): Promise<{ url: string } & AsyncDisposable> {
  const server: Server = createServer((socket) => {
    const info = { server_id: "fake", version, headers: true, max_payload: 1_000_000, proto: 1 };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on("data", (data) => {
      if (data.includes("PING")) socket.write("PONG\r\n");
    });
    socket.on("error", () => {});
  });
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

async function received(connection: Connection, subject: string, act: () => void) {
  const got = Promise.withResolvers<void>();
  connection.nc.subscribe(subject, { max: 1, callback: () => got.resolve() });
  await connection.outbound.flush();
  act();
  await got.promise;
}

describe("servers that will not do", () => {
  test("one that is too old is refused with both versions", async () => {
    await using fake = await fakeNats("2.9.0");
    const { opening, waited } = open(fake.url);
    await expect(opening).rejects.toMatchObject({ code: "unsupported" });
    await expect(opening).rejects.toThrow(/is version 2\.9\.0; 2\.11\.0 or newer is needed/);
    expect(waited).toEqual([]);
  });

  test("one without JetStream is refused", async () => {
    await using nats = await testNats({ config: { jetstream: undefined } });
    const { opening } = open(nats.url);
    await expect(opening).rejects.toMatchObject({ code: "unsupported" });
    await expect(opening).rejects.toThrow(/has JetStream disabled/);
  });

  test("one that refuses the credentials is not asked again and again", async () => {
    const authorization = { user: "me", password: "p@ss" };
    await using nats = await testNats({ config: { authorization } });
    const { opening, waited } = open(nats.url);
    await expect(opening).rejects.toMatchObject({ code: "unauthenticated" });
    expect(waited).toEqual([]);
    const withPassword = nats.url.replace("nats://", "nats://me:p%40ss@");
    await using connection = await open(withPassword).opening;
    expect(connection.link.connected).toBe(true);
  });
});

describe("a server that is away at start", () => {
  test("is waited for, which is said once, and used when it comes", async () => {
    await using nats = await testNats();
    await nats.kill();
    const { opening, waited } = open(nats.url);
    await eventually("the waiting is told", () => waited.length > 0);
    expect(waited[0]).toMatch(/cannot use NATS: .*refused/);
    await nats.start();
    await using connection = await opening;
    expect(connection.nc.getServer()).toContain(new URL(nats.url).port);
    expect(waited).toHaveLength(1);
  });

  test("is not waited for any longer than the caller wants", async () => {
    const stop = new AbortController();
    const { opening, waited } = open(`nats://127.0.0.1:${await freePort()}`, {
      signal: stop.signal,
    });
    await eventually("the waiting is told", () => waited.length > 0);
    stop.abort();
    await expect(opening).rejects.toMatchObject({ code: "unavailable" });
  });
});

test("credentials that cannot be read are a clear error", async () => {
  const { opening } = open("nats://127.0.0.1:1", { credsFile: "/nowhere/user.creds" });
  await expect(opening).rejects.toMatchObject({ code: "invalid" });
  await expect(opening).rejects.toThrow(/nowhere\/user\.creds/);
});

describe("the link", () => {
  test("tells of every loss and return, and redials for as long as it takes", async () => {
    await using nats = await testNats();
    await using connection = await open(nats.url).opening;
    const changes: boolean[] = [];
    const watcher = connection.link.watch((connected) => changes.push(connected));
    await nats.restart();
    await eventually("it is back", () => changes.length === 2);
    expect(changes).toEqual([false, true]);
    expect(connection.link.connected).toBe(true);
    watcher.stop();
    await nats.kill();
    await eventually("it is lost", () => !connection.link.connected);
    expect(changes).toHaveLength(2);
  });

  test("passes on what the server complains of", async () => {
    const user = { user: "u", password: "p", permissions: { publish: { deny: "secret.>" } } };
    await using nats = await testNats({ config: { authorization: { users: [user] } } });
    const { opening, faults } = open(nats.url.replace("nats://", "nats://u:p@"));
    await using connection = await opening;
    connection.outbound.publish("secret.plan", bytes("x"));
    await eventually("it is told", () => faults.length > 0);
    expect(faults[0]).toMatchObject({ code: "forbidden" });
    expect(faults[0]?.message).toMatch(/secret\.plan/);
  });
});

describe("closing", () => {
  test("sends what was published before", async () => {
    await using nats = await testNats();
    await using listener = await open(nats.url).opening;
    const connection = await open(nats.url).opening;
    await received(listener, "last.words", () => {
      connection.outbound.publish("last.words", bytes("bye"));
      void connection.close();
    });
    expect(await connection.closed).toBeUndefined();
    expect(connection.link.connected).toBe(false);
  });

  test("does not wait for a broker that is away, and may be asked for twice", async () => {
    await using nats = await testNats();
    const connection = await open(nats.url).opening;
    await nats.kill();
    await eventually("the loss is noticed", () => !connection.link.connected);
    await Promise.all([connection.close(), connection.close()]);
    expect(connection.nc.isClosed()).toBe(true);
  });
});
