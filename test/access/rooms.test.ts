import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { encodeJson } from "../../streams/records.ts";
import { type Channel, channelLiveSubject, roomKey } from "../../streams/subjects.ts";
import type { TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, type TestNode } from "./node.ts";
import { setRooms } from "./orders.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});

afterEach(() => at[Symbol.asyncDispose]());

const room = (id: string): Channel => ({ kind: "room", app: "shop", id });
const zone = (id: string): Channel => ({ kind: "zone", app: "shop", id });
const all: Channel = { kind: "all", app: "shop" };

async function member(device: string, ...rooms: string[]): Promise<TestClient> {
  const { client } = await at.login({ device });
  for (const id of rooms) {
    client.send({ join: { room: id } });
    await client.next("joined");
  }
  return client;
}

async function nextText(client: TestClient): Promise<unknown> {
  return (await client.next("push")).message?.payload.value;
}

/** Shows that nothing more is on its way to the client: what follows overtakes nothing. */
async function expectNothing(client: TestClient): Promise<void> {
  client.send({ ping: { foreground: true } });
  await client.next("pong");
  expect(client.queue).toEqual([]);
}

const listeners = (channel: Channel) => at.messages.listeners(channelLiveSubject(channel));

function putInZone(id: string, into: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const key = roomKey("shop", id);
    const revision = at.roomSettings.entries.get(key)?.revision ?? 0;
    at.roomSettings.put(key, encodeJson({ zone: into }), revision, ({ kind }) => {
      if (kind === "stored") resolve();
      else reject(new Error(kind));
    });
  });
}

describe("a message to a room", () => {
  test("reaches its members, in every encoding, with the room and its position", async () => {
    const kinds = [{ encoding: "json" }, { encoding: "proto" }, { protocol: "tcp" }] as const;
    const clients: TestClient[] = [];
    for (const [i, kind] of kinds.entries()) {
      const { client } = await at.login({ device: `d${i}` }, kind);
      client.send({ join: { room: "lobby" } });
      await client.next("joined");
      clients.push(client);
    }
    const position = at.stream.publish(room("lobby"), "hello");
    for (const client of clients) {
      const { message } = await client.next("push");
      expect(message).toMatchObject({
        room: "lobby",
        position: BigInt(position),
        business: "chat",
      });
      expect(message?.payload.value).toBe("hello");
    }
  });

  test("reaches nobody else: not other rooms, other apps, nor those who left", async () => {
    const elsewhere = await member("d1", "hall");
    const left = await member("d2", "lobby");
    left.send({ leave: { room: "lobby" } });
    expect((await left.next("left")).room).toBe("lobby");
    const { client: otherApp } = await at.login({ app: "bank", device: "d3" });
    otherApp.send({ join: { room: "lobby" } });
    await otherApp.next("joined");
    const inside = await member("d4", "lobby");
    at.stream.publish(room("lobby"), "hello");
    expect(await nextText(inside)).toBe("hello");
    for (const client of [elsewhere, left, otherApp]) await expectNothing(client);
  });

  test("is heard on the bus while the room has members here, and only then", async () => {
    expect(listeners(room("lobby"))).toBe(0);
    const one = await member("d1", "lobby");
    const two = await member("d2", "lobby");
    expect(listeners(room("lobby"))).toBe(1);
    expect(at.metrics.rooms).toBe(1);
    one.send({ leave: { room: "lobby" } });
    await one.next("left");
    expect(listeners(room("lobby"))).toBe(1);
    await two.close();
    await eventually("nobody listens", () => listeners(room("lobby")) === 0);
    expect(at.metrics.rooms).toBe(0);
  });

  test("that cannot be decoded is skipped", async () => {
    const client = await member("d1", "lobby");
    at.messages.publish(channelLiveSubject(room("lobby")), Buffer.of(0x0f));
    at.stream.publish(room("lobby"), "hello");
    expect(await nextText(client)).toBe("hello");
  });
});

describe("joining", () => {
  test("is told to the log with all the rooms, and so is leaving", async () => {
    const client = await member("d1", "a", "b");
    expect(at.log.rooms("d1")).toEqual(["a", "b"]);
    client.send({ leave: { room: "a" } });
    await client.next("left");
    expect(at.log.rooms("d1")).toEqual(["b"]);
  });

  test("twice, or leaving twice, is answered and changes nothing", async () => {
    const client = await member("d1", "a", "a");
    client.send({ leave: { room: "b" } });
    await client.next("left");
    expect(at.log.entries.filter(({ kind }) => kind === "rooms")).toHaveLength(1);
    at.stream.publish(room("a"), "once");
    expect(await nextText(client)).toBe("once");
    await expectNothing(client);
  });

  test("more rooms than allowed is refused by name of the rule, and the connection stays", async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `room ${i}`);
    const client = await member("d1", ...ids);
    client.send({ join: { room: "one more" } });
    const error = await client.next("error");
    expect(error).toMatchObject({ code: CLOSE["bad-frame"].code, room: "one more" });
    expect(error.reason).toBe("a connection may be in at most 100 rooms");
    client.send({ join: { room: "room 5" } });
    await client.next("joined");
  });

  test("works for every id that is one", async () => {
    const id = "a.b*c> é😀";
    const client = await member("d1", id);
    at.stream.publish(room(id), "hello");
    expect((await client.next("push")).message?.room).toBe(id);
  });

  test("is done for a client by its business, and told to it", async () => {
    const { client, counter } = await at.login({ device: "d1" });
    at.log.events.order(setRooms(counter, { join: ["a", "b"] }));
    expect([(await client.next("joined")).room, (await client.next("joined")).room]).toEqual([
      "a",
      "b",
    ]);
    at.log.events.order(setRooms(counter, { join: ["c"], leave: ["a"] }));
    expect((await client.next("left")).room).toBe("a");
    await client.next("joined");
    expect(at.log.rooms("d1")).toEqual(["b", "c"]);
    at.log.events.order(setRooms(999n, { join: ["a"] }));
  });
});

describe("the position of a room", () => {
  test("is that of its newest message when it is joined", async () => {
    at.stream.publish(room("other"), "x");
    const position = at.stream.publish(room("lobby"), "before");
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby" } });
    const joined = await client.next("joined");
    expect(joined).toMatchObject({ position: BigInt(position), recovered: false });
    await expectNothing(client);
  });

  test("is asked for once for all members, and then followed", async () => {
    await member("d1", "lobby");
    const position = at.stream.publish(room("lobby"), "one");
    const { client } = await at.login({ device: "d2" });
    await eventually("it came", () => at.metrics.channelMessages === 1);
    client.send({ join: { room: "lobby" } });
    expect((await client.next("joined")).position).toBe(BigInt(position));
    expect(at.stream.questions).toBe(1);
  });

  test("is 0 when the stream does not answer, and the room is joined all the same", async () => {
    at.stream.away = true;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: 5n } });
    expect(await client.next("joined")).toMatchObject({ position: 0n, recovered: false });
    at.stream.publish(room("lobby"), "hello");
    expect(await nextText(client)).toBe("hello");
  });
});

describe("joining again from a position", () => {
  test("brings what was missed, in order, and then what comes", async () => {
    const seen = at.stream.publish(room("lobby"), "1");
    at.stream.publish(room("lobby"), "2");
    const newest = at.stream.publish(room("lobby"), "3");
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(seen) } });
    expect(await client.next("joined")).toMatchObject({
      position: BigInt(newest),
      recovered: true,
    });
    at.stream.publish(room("lobby"), "4");
    expect([await nextText(client), await nextText(client), await nextText(client)]).toEqual([
      "2",
      "3",
      "4",
    ]);
  });

  test("gives nothing twice and nothing in the wrong order while messages keep coming", async () => {
    await member("other", "lobby");
    const seen = at.stream.publish(room("lobby"), "1");
    at.stream.publish(room("lobby"), "2");
    const answer = Promise.withResolvers<void>();
    at.stream.answering = answer.promise;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(seen) } });
    await eventually("the stream is asked", () => at.stream.questions === 2);
    at.stream.publish(room("lobby"), "3");
    await expectNothing(client);
    answer.resolve();
    expect((await client.next("joined")).recovered).toBe(true);
    at.stream.publish(room("lobby"), "4");
    expect([await nextText(client), await nextText(client), await nextText(client)]).toEqual([
      "2",
      "3",
      "4",
    ]);
    await expectNothing(client);
  });

  test("is recovered without a question when nothing was missed", async () => {
    await member("other", "lobby");
    const newest = at.stream.publish(room("lobby"), "1");
    await eventually("it came", () => at.metrics.channelMessages === 1);
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(newest) } });
    expect((await client.next("joined")).recovered).toBe(true);
    expect(at.stream.questions).toBe(1);
  });

  test("says honestly when not everything is kept any more", async () => {
    at.stream.publish(room("lobby"), "1");
    at.stream.publish(room("lobby"), "2");
    at.stream.keptAfter = 2;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: 1n } });
    expect(await client.next("joined")).toMatchObject({ position: 2n, recovered: false });
    await expectNothing(client);
  });

  test("that is left before the answer gets none", async () => {
    const answer = Promise.withResolvers<void>();
    at.stream.answering = answer.promise;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: 1n } });
    client.send({ leave: { room: "lobby" } });
    await client.next("left");
    answer.resolve();
    await expectNothing(client);
    expect(listeners(room("lobby"))).toBe(0);
  });
});

describe("a message to a zone", () => {
  test("reaches the members of its rooms, each once", async () => {
    await putInZone("a", "north");
    await putInZone("b", "north");
    await putInZone("c", "south");
    const both = await member("d1", "a", "b");
    const one = await member("d2", "b", "c");
    const none = await member("d3", "c");
    const position = at.stream.publish(zone("north"), "snow");
    for (const client of [both, one]) {
      const { message } = await client.next("push");
      expect(message).toMatchObject({ room: "", position: BigInt(position) });
    }
    for (const client of [both, one, none]) await expectNothing(client);
    at.stream.publish(zone("north"), "more snow");
    expect([await nextText(both), await nextText(one)]).toEqual(["more snow", "more snow"]);
  });

  test("follows rooms that change their zone while they have members", async () => {
    const client = await member("d1", "a");
    await putInZone("a", "north");
    await eventually("the zone is heard", () => listeners(zone("north")) === 1);
    at.stream.publish(zone("north"), "one");
    expect(await nextText(client)).toBe("one");
    await putInZone("a", "south");
    await eventually("the other is heard", () => listeners(zone("south")) === 1);
    expect(listeners(zone("north"))).toBe(0);
    await putInZone("a", "");
    await eventually("none is heard", () => listeners(zone("south")) === 0);
  });

  test("is heard on the bus while one of its rooms has members here, and only then", async () => {
    await putInZone("a", "north");
    expect(listeners(zone("north"))).toBe(0);
    const client = await member("d1", "a");
    expect(listeners(zone("north"))).toBe(1);
    await client.close();
    await eventually("nobody listens", () => listeners(zone("north")) === 0);
  });
});

describe("a broadcast", () => {
  test("reaches every connection of the app, and none of another", async () => {
    const clients = [await member("d1"), await member("d2", "lobby")];
    const { client: otherApp } = await at.login({ app: "bank" });
    at.stream.publish(all, "hear me");
    for (const client of clients) expect(await nextText(client)).toBe("hear me");
    await expectNothing(otherApp);
  });

  test("is heard on the bus while the app has a connection here, and only then", async () => {
    expect(listeners(all)).toBe(0);
    const client = await member("d1");
    expect(listeners(all)).toBe(1);
    await client.close();
    await eventually("nobody listens", () => listeners(all) === 0);
  });
});
