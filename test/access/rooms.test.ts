import { brotliDecompressSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import {
  type Batch,
  type Message,
  Message_Priority,
  MessageSchema,
  type ResumeSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { encodeJson, type RoomSettings } from "../../streams/records.ts";
import { type Channel, channelLiveSubject, roomKey } from "../../streams/subjects.ts";
import type { TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { tokenOf } from "./fakes.ts";
import { startNode, type TestNode } from "./node.ts";
import { setRooms } from "./orders.ts";

let at: TestNode;
let clock: VirtualClock;

beforeEach(async () => {
  clock = new VirtualClock();
  at = await startNode({ clock });
});

afterEach(() => at[Symbol.asyncDispose]());

type ResumeInit = MessageInitShape<typeof ResumeSchema>;

const DECOMPRESS: Record<string, (data: Uint8Array) => Uint8Array> = {
  "": (data) => data,
  zlib: inflateSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};

function messagesOf({ data, encoding }: Batch): Message[] {
  const reader = new BinaryReader(DECOMPRESS[encoding]?.(data) ?? new Uint8Array());
  const messages: Message[] = [];
  while (reader.pos < reader.len) messages.push(fromBinary(MessageSchema, reader.bytes()));
  return messages;
}

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

async function texts(client: TestClient, count: number): Promise<unknown[]> {
  const all: unknown[] = [];
  while (all.length < count) all.push(await nextText(client));
  return all;
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

/** Longer than a channel is heard without members. */
const forgotten = () => clock.advance(31_000);

const listeners = (channel: Channel) => at.messages.listeners(channelLiveSubject(channel));

function putInZone(id: string, into: string): Promise<void> {
  return setRoom(id, { zone: into });
}

function setRoom(id: string, settings: RoomSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    const key = roomKey("shop", id);
    const revision = at.roomSettings.entries.get(key)?.revision ?? 0;
    at.roomSettings.put(key, encodeJson(settings), revision, ({ kind }) => {
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

  test("is heard on the bus while the room has members here, and for half a minute after", async () => {
    expect(listeners(room("lobby"))).toBe(0);
    const one = await member("d1", "lobby");
    const two = await member("d2", "lobby");
    expect(listeners(room("lobby"))).toBe(1);
    expect(at.metrics.rooms).toBe(1);
    one.send({ leave: { room: "lobby" } });
    await one.next("left");
    expect(listeners(room("lobby"))).toBe(1);
    await two.close();
    await eventually("nobody is in it", () => at.metrics.rooms === 0);
    clock.advance(29_000);
    expect(listeners(room("lobby"))).toBe(1);
    clock.advance(2_000);
    expect(listeners(room("lobby"))).toBe(0);
  });

  test("that cannot be decoded is skipped", async () => {
    const client = await member("d1", "lobby");
    at.messages.publish(channelLiveSubject(room("lobby")), Buffer.of(0x0f));
    at.stream.publishBytes(room("lobby"), Buffer.of(0x0f));
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
    // Of the room, and of the app's broadcasts.
    expect(at.stream.questions).toBe(2);
  });

  test("is waited for when the stream does not answer; nothing is lost meanwhile", async () => {
    at.stream.away = true;
    const { client } = await at.login({ device: "d1" });
    const seen = at.stream.publish(room("lobby"), "before");
    client.send({ join: { room: "lobby", position: BigInt(seen) } });
    await eventually("it was asked", () => at.stream.questions > 1);
    at.stream.publish(room("lobby"), "hello");
    await expectNothing(client);
    at.stream.away = false;
    clock.advance(2_000);
    expect(await client.next("joined")).toMatchObject({ recovered: true });
    expect(await nextText(client)).toBe("hello");
  });

  test("is the stream's in a room that has no message, and never 0", async () => {
    const elsewhere = at.stream.publish(room("other"), "x");
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby" } });
    const { position } = await client.next("joined");
    expect(position).toBe(BigInt(elsewhere));
    await client.close();
    at.stream.publish(room("lobby"), "the first");
    const { client: back } = await at.login({ device: "d1" });
    back.send({ join: { room: "lobby", position } });
    expect((await back.next("joined")).recovered).toBe(true);
    expect(await nextText(back)).toBe("the first");
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
    const seen = at.stream.publish(room("lobby"), "1");
    await member("other", "lobby");
    at.stream.publish(room("lobby"), "2");
    const answer = Promise.withResolvers<void>();
    at.stream.answering = answer.promise;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(seen) } });
    expect((await client.next("joined")).recovered).toBe(true);
    at.stream.publish(room("lobby"), "3");
    answer.resolve();
    at.stream.publish(room("lobby"), "4");
    expect([await nextText(client), await nextText(client), await nextText(client)]).toEqual([
      "2",
      "3",
      "4",
    ]);
    await expectNothing(client);
  });

  test("loses nothing that passes between the reading of the past and a later join", async () => {
    const seen = at.stream.publish(room("lobby"), "1");
    at.stream.publish(room("lobby"), "2");
    await member("other", "lobby");
    const answer = Promise.withResolvers<void>();
    at.stream.answering = answer.promise;
    const clients: TestClient[] = [];
    for (const device of ["d1", "d2"]) {
      const { client } = await at.login({ device });
      client.send({ join: { room: "lobby", position: BigInt(seen) } });
      await expectNothing(client);
      clients.push(client);
      if (device === "d1") at.stream.publish(room("lobby"), "3");
    }
    answer.resolve();
    at.stream.publish(room("lobby"), "4");
    for (const client of clients) {
      expect((await client.next("joined")).recovered).toBe(true);
      expect(await texts(client, 3)).toEqual(["2", "3", "4"]);
    }
    expect(at.stream.reads).toBe(1);
  });

  test("is recovered without a question when nothing was missed", async () => {
    await member("other", "lobby");
    const newest = at.stream.publish(room("lobby"), "1");
    await eventually("it came", () => at.metrics.channelMessages === 1);
    const asked = at.stream.questions;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(newest) } });
    expect((await client.next("joined")).recovered).toBe(true);
    expect(at.stream.questions).toBe(asked);
  });

  test("says honestly when not everything is kept any more", async () => {
    const first = at.stream.publish(room("lobby"), "1");
    const newest = at.stream.publish(room("lobby"), "2");
    at.stream.keptAfter = newest;
    const { client } = await at.login({ device: "d1" });
    client.send({ join: { room: "lobby", position: BigInt(first) } });
    const joined = await client.next("joined");
    expect(joined).toMatchObject({ position: BigInt(newest), recovered: false });
    await expectNothing(client);
  });

  test("from a place in the future, or of another epoch, begins anew", async () => {
    const newest = at.stream.publish(room("lobby"), "1");
    const { client } = await at.login({ device: "d1" });
    for (const position of [BigInt(newest) + 1n, 2n ** 63n]) {
      client.send({ join: { room: "lobby", position } });
      expect(await client.next("joined")).toMatchObject({
        position: BigInt(newest),
        recovered: false,
      });
    }
    for (const epoch of [at.stream.epoch + 1, at.stream.epoch + 2]) {
      client.send({ join: { room: "lobby", position: BigInt(newest), epoch: BigInt(epoch) } });
      expect(await client.next("joined")).toMatchObject({ epoch: 1n, recovered: false });
    }
    client.send({ join: { room: "lobby", position: BigInt(newest), epoch: 1n } });
    expect(await client.next("joined")).toMatchObject({ epoch: 1n, recovered: true });
  });

  test("from a place that this node has not heard of yet is taken on the stream's word", async () => {
    const client = await member("d1", "lobby");
    await client.close();
    at.stream.deaf = true;
    at.stream.publish(room("lobby"), "1");
    const seen = at.stream.publish(room("lobby"), "2");
    at.stream.deaf = false;
    const { client: back } = await at.login({ device: "d1" });
    back.send({ join: { room: "lobby", position: BigInt(seen) } });
    expect(await back.next("joined")).toMatchObject({ position: BigInt(seen), recovered: true });
    at.stream.publish(room("lobby"), "3");
    expect(await nextText(back)).toBe("3");
  });

  test("again and again, where the stream has to be asked, is refused after a while", async () => {
    const { client, counter } = await at.login({ device: "d1" });
    for (let i = 0; i < 4; i += 1) {
      const join = Array.from({ length: 90 }, (_, j) => `room ${i} ${j}`);
      at.log.events.order(setRooms(counter, { join }));
      at.log.events.order(setRooms(counter, { leave: join }));
    }
    const error = await client.next("error");
    expect(error.reason).toBe("at most 10 rooms a second that have to be looked up");
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
    forgotten();
    expect(listeners(room("lobby"))).toBe(0);
  });
});

describe("when the stream is not heard for a while", () => {
  test("what passed is fetched when the next message shows the gap", async () => {
    const client = await member("d1", "lobby");
    at.stream.publish(room("lobby"), "1");
    at.stream.deaf = true;
    at.stream.publish(room("lobby"), "2");
    at.stream.publish(room("lobby"), "3");
    at.stream.deaf = false;
    at.stream.publish(room("lobby"), "4");
    expect(await texts(client, 4)).toEqual(["1", "2", "3", "4"]);
  });

  test("what passed is fetched when the link is back, in order, and told to who comes then", async () => {
    const client = await member("d1", "lobby");
    const seen = at.stream.publish(room("lobby"), "1");
    expect(await nextText(client)).toBe("1");
    at.link.set(false);
    at.stream.deaf = true;
    at.stream.publish(room("lobby"), "2");
    at.stream.publish(room("lobby"), "3");
    at.stream.deaf = false;
    at.link.set(true);
    expect(await texts(client, 2)).toEqual(["2", "3"]);
    const { client: other } = await at.login({ device: "d2" });
    other.send({ join: { room: "lobby", position: BigInt(seen) } });
    expect((await other.next("joined")).recovered).toBe(true);
    expect(await texts(other, 2)).toEqual(["2", "3"]);
  });

  test("and it has not kept what passed, members are told", async () => {
    const client = await member("d1", "lobby");
    at.stream.publish(room("lobby"), "1");
    expect(await nextText(client)).toBe("1");
    at.stream.deaf = true;
    const gone = at.stream.publish(room("lobby"), "2");
    at.stream.deaf = false;
    at.stream.keptAfter = gone;
    const newest = at.stream.publish(room("lobby"), "3");
    expect(await client.next("joined")).toMatchObject({
      position: BigInt(newest),
      recovered: false,
    });
    at.stream.publish(room("lobby"), "4");
    expect(await nextText(client)).toBe("4");
  });

  test("because it was made anew, members are told the new epoch and begin anew", async () => {
    const client = await member("d1", "lobby");
    at.stream.publish(room("lobby"), "1");
    expect(await nextText(client)).toBe("1");
    at.stream.remake(10);
    at.stream.publish(room("lobby"), "2");
    expect(await client.next("joined")).toMatchObject({
      position: 11n,
      epoch: 2n,
      recovered: false,
    });
    at.stream.publish(room("lobby"), "3");
    expect(await nextText(client)).toBe("3");
  });
});

describe("a client that reads slowly", () => {
  const large = (i: number) => `${i} ${"x".repeat(4_000)}`;

  test("gets all of a long replay, page by page, and is not closed", async () => {
    const seen = at.stream.publish(room("lobby"), "before");
    for (let i = 0; i < 1_000; i += 1) at.stream.publish(room("lobby"), large(i));
    const { client } = await at.login({ device: "d1" });
    client.pause();
    client.send({ join: { room: "lobby", position: BigInt(seen) } });
    await eventually("it takes no more", () => at.stream.reads > 1);
    clock.advance(5_000);
    client.resume();
    expect((await client.next("joined")).recovered).toBe(true);
    const all = await texts(client, 1_000);
    expect(all).toEqual(Array.from({ length: 1_000 }, (_, i) => large(i)));
    expect(at.log.ends("d1")).toEqual([]);
  });

  test("gets what comes in the order it was sent, whatever its priority", async () => {
    const client = await member("d1", "lobby");
    client.pause();
    for (let i = 0; i < 2_000; i += 1) {
      const priority = i % 10 === 0 ? Message_Priority.HIGH : Message_Priority.NORMAL;
      at.stream.publish(room("lobby"), large(i), { priority });
    }
    await eventually("they came", () => at.metrics.channelMessages === 2_000);
    clock.advance(300); // longer than messages are gathered
    client.resume();
    expect(await texts(client, 2_000)).toEqual(Array.from({ length: 2_000 }, (_, i) => large(i)));
  });

  test("is not kept when it does not read at all", async () => {
    const client = await member("d1", "lobby");
    client.pause();
    for (let i = 0; i < 4_000; i += 1) at.stream.publish(room("lobby"), large(i));
    await eventually("they came", () => at.metrics.channelMessages === 4_000);
    clock.advance(7_500);
    expect(at.log.ends("d1")).toEqual([]);
    clock.advance(3_000);
    expect(at.log.ends("d1")).toEqual(["slow-consumer"]);
  });

  test("and is put into rooms by its business when its session has ended is in none", async () => {
    const { client, counter } = await at.login({ device: "d1" });
    client.pause();
    for (let i = 0; i < 400; i += 1) {
      const join = Array.from({ length: 100 }, (_, j) => `${i} ${j} ${"x".repeat(100)}`);
      at.log.events.order(setRooms(counter, { join, leave: join }));
    }
    const rooms = Array.from({ length: 90 }, (_, j) => `${j} ${"x".repeat(100)}`);
    for (let i = 0; i < 4_000 && at.log.ends("d1").length === 0; i += 1) {
      at.log.events.order(setRooms(counter, { join: rooms, leave: rooms }));
    }
    expect(at.log.ends("d1")).toEqual(["slow-consumer"]);
    expect(at.metrics.rooms).toBe(0);
  });
});

describe("a client that offers encodings", () => {
  async function modern(
    device: string,
    encodings: string[],
    resume?: ResumeInit,
  ): Promise<TestClient> {
    const client = await at.connect({ encoding: "proto" });
    const token = tokenOf({ device });
    client.send({ login: { token, encodings, ...(resume && { resume }) } });
    await client.next("welcome");
    return client;
  }

  test("is told where it stands in zones and broadcasts, and resumes there", async () => {
    await putInZone("a", "north");
    at.stream.publish(all, "before");
    const client = await modern("d1", ["identity"]);
    const broadcasts = await client.next("standing");
    expect(broadcasts).toMatchObject({ zone: "", recovered: false });
    client.send({ join: { room: "a" } });
    const joined = await client.next("joined");
    const zoned = await client.next("standing");
    expect(zoned).toMatchObject({ zone: "north", recovered: false });
    await client.close();
    at.stream.publish(zone("north"), "snow");
    at.stream.publish(all, "hear me");
    at.stream.publish(room("a"), "hello");
    const back = await modern("d1", ["identity"], {
      connectionId: "x",
      rooms: [{ room: "a", position: joined.position, epoch: joined.epoch }],
      standings: [broadcasts, zoned],
    });
    expect(await back.next("standing")).toMatchObject({ zone: "", recovered: true });
    const missed = await texts(back, 3);
    expect(missed.toSorted()).toEqual(["hear me", "hello", "snow"]);
  });

  test("is told when it hears a zone no more, and stands there anew when it comes back", async () => {
    await putInZone("a", "north");
    const client = await modern("d1", ["identity"]);
    await client.next("standing");
    client.send({ join: { room: "a" } });
    expect(await client.next("standing")).toMatchObject({ zone: "north", recovered: false });
    client.send({ leave: { room: "a" } });
    expect(await client.next("standing")).toMatchObject({ zone: "north", position: 0n });
    at.stream.publish(zone("north"), "snow");
    client.send({ join: { room: "a" } });
    expect(await client.next("standing")).toMatchObject({ zone: "north", recovered: false });
  });

  test("gets many messages in few frames, compressed once for all that read it so", async () => {
    const plain = await modern("plain", ["identity"]);
    const clients = [plain];
    for (const encoding of ["zlib", "br", "zstd"]) clients.push(await modern(encoding, [encoding]));
    const old = await member("old", "lobby");
    for (const client of clients) {
      await client.next("standing");
      client.send({ join: { room: "lobby" } });
      await client.next("joined");
    }
    const sent = Array.from({ length: 60 }, (_, i) => `message ${i} of sixty`);
    for (const text of sent) at.stream.publish(room("lobby"), text);
    await eventually("they came", () => at.metrics.channelMessages === 60);
    clock.advance(300);
    expect(await texts(old, 60)).toEqual(sent);
    for (const [i, client] of clients.entries()) {
      const all: string[] = [];
      let batches = 0;
      while (all.length < 60) {
        await eventually("more comes", () => client.queue.length > 0);
        const frame = client.queue.shift();
        if (frame?.case === "push") all.push(`${frame.value.message?.payload.value}`);
        if (frame?.case !== "batch") continue;
        batches += 1;
        expect(frame.value.encoding).toBe(["", "zlib", "br", "zstd"][i]);
        const messages = messagesOf(frame.value);
        expect(messages).toHaveLength(frame.value.count);
        all.push(...messages.map(({ payload }) => `${payload.value}`));
      }
      expect(all).toEqual(sent);
      expect(batches).toBe(1);
    }
  });

  test("is told what was left out when it was too far behind", async () => {
    const client = await modern("d1", ["identity"]);
    await client.next("standing");
    client.send({ join: { room: "lobby" } });
    await client.next("joined");
    client.pause();
    const large = "x".repeat(10_000);
    for (let i = 0; i < 1_500; i += 1) {
      const priority = i % 2 === 0 ? Message_Priority.LOW : Message_Priority.NORMAL;
      at.stream.publish(room("lobby"), `${i} ${large}`, { priority });
    }
    await eventually("they came", () => at.metrics.channelMessages === 1_500);
    clock.advance(300);
    client.resume();
    let low = 0;
    let normal = 0;
    let skipped = 0;
    while (normal < 750) {
      await eventually("more comes", () => client.queue.length > 0);
      const frame = client.queue.shift();
      if (frame?.case === "skipped") skipped += frame.value.count;
      const messages =
        frame?.case === "batch"
          ? messagesOf(frame.value)
          : frame?.case === "push"
            ? [frame.value.message]
            : [];
      for (const message of messages) {
        if (message?.priority === Message_Priority.LOW) low += 1;
        else normal += 1;
      }
    }
    expect(skipped).toBeGreaterThan(0);
    expect(low + skipped).toBe(750);
    expect(at.metrics.dropped).toBe(skipped);
  });

  test("gets only the newest of each key where the app wants it so", async () => {
    await setRoom("score", { zone: "", aggregation: "latest", latestKey: "team" });
    const client = await modern("d1", ["identity"]);
    await client.next("standing");
    client.send({ join: { room: "score" } });
    await client.next("joined");
    for (let i = 0; i < 40; i += 1) {
      const team = i % 2 === 0 ? "red" : "blue";
      at.stream.publish(room("score"), `${team} ${i}`, { metadata: { team } });
    }
    await eventually("they came", () => at.metrics.channelMessages === 40);
    clock.advance(300);
    await eventually("the batch came", () => client.queue.at(-1)?.case === "batch");
    const last = client.queue.at(-1);
    const texts =
      last?.case === "batch" ? messagesOf(last.value).map(({ payload }) => payload.value) : [];
    expect(texts).toEqual(["red 38", "blue 39"]);
  });

  test("gets each at once where the app wants nothing gathered", async () => {
    await setRoom("orders", { zone: "", aggregation: "never" });
    const client = await modern("d1", ["identity"]);
    client.send({ join: { room: "orders" } });
    await client.next("joined");
    for (let i = 0; i < 60; i += 1) at.stream.publish(room("orders"), `${i}`);
    expect(await texts(client, 60)).toEqual(Array.from({ length: 60 }, (_, i) => `${i}`));
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
      expect(message).toMatchObject({ room: "", zone: "north", position: BigInt(position) });
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
    at.stream.publish(zone("north"), "two");
    at.stream.publish(zone("south"), "three");
    expect(await nextText(client)).toBe("three");
    await putInZone("a", "");
    await eventually(
      "it is known",
      () => at.roomSettings.entries.get(roomKey("shop", "a")) !== undefined,
    );
    at.stream.publish(zone("south"), "four");
    await expectNothing(client);
    forgotten();
    expect(listeners(zone("north"))).toBe(0);
    expect(listeners(zone("south"))).toBe(0);
  });

  test("is heard on the bus while one of its rooms has members here, and a while longer", async () => {
    await putInZone("a", "north");
    expect(listeners(zone("north"))).toBe(0);
    const client = await member("d1", "a");
    expect(listeners(zone("north"))).toBe(1);
    await client.close();
    await eventually("nobody is here", () => at.metrics.sessions === 0);
    forgotten();
    expect(listeners(zone("north"))).toBe(0);
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

  test("is heard on the bus while the app has a connection here, and a while longer", async () => {
    expect(listeners(all)).toBe(0);
    const client = await member("d1");
    expect(listeners(all)).toBe(1);
    await client.close();
    await eventually("nobody is here", () => at.metrics.sessions === 0);
    forgotten();
    expect(listeners(all)).toBe(0);
  });
});
