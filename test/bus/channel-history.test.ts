import { setTimeout as delay } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NatsChannelHistory } from "../../internal/bus/channel-history.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { CHANNEL_MESSAGES_KEPT, ROOM_STREAM } from "../../streams/layout.ts";
import { type Channel, channelInSubject, channelLiveSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, bytes, connectTo, type TestConnection, text } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;
let history: NatsChannelHistory;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await setUp();
  history = await NatsChannelHistory.open(connection);
});
afterAll(async () => {
  await connection.close();
  await nats[Symbol.asyncDispose]();
});

async function setUp(): Promise<void> {
  const layout = { partitions: 1, logStreams: 1, replicas: 1, logMaxBytes: 1 << 20 };
  await reconcile(connection.nc, layout);
}

/** Whether all that was sent to the channel above this position is kept. */
async function whole(channel: Channel, after: number): Promise<boolean> {
  return (await history.read(channel, after)).wholeFrom <= after;
}

const room = (id: string): Channel => ({ kind: "room", app: "demo", id });

/** Sends texts to the room and gives their positions. */
async function send(channel: Channel, ...texts: string[]): Promise<number[]> {
  const { appender } = appenderOn(connection);
  const positions = texts.map(
    (one) =>
      new Promise<number>((stored) =>
        appender.append(channelInSubject(channel), bytes(one), stored),
      ),
  );
  return Promise.all(positions);
}

test("the newest message of a channel is its own; a channel without has the stream's", async () => {
  const [own] = await send(room("own"), "x");
  const [other] = await send(room("other"), "y");
  expect(await history.newest(room("own"))).toMatchObject({ newest: own, last: other });
  expect(await history.newest(room("silent"))).toMatchObject({ newest: 0, last: other });
  const [later] = await send(room("silent"), "first");
  expect(later).toBeGreaterThan(other!);
});

test("the state is never older than the question, however many are asked at once", async () => {
  const early = [history.state(), history.state()];
  const [sent] = await send(room("a"), "x");
  const late = await Promise.all([history.state(), history.state(), history.state()]);
  for (const { last } of late) expect(last).toBeGreaterThanOrEqual(sent!);
  await Promise.all(early);
});

test("what was sent to the room since a position comes back in order, and nothing of other rooms", async () => {
  const [first] = await send(room("a"), "one");
  await send(room("b"), "elsewhere");
  const [second, third] = await send(room("a"), "two", "three");
  const past = await history.read(room("a"), first!);
  expect(past).toMatchObject({ more: false });
  expect(past.messages.map(({ position, data }) => [position, text(data)])).toEqual([
    [second, "two"],
    [third, "three"],
  ]);
  const none = await history.read(room("a"), third!);
  expect(none).toMatchObject({ messages: [], more: false });
});

test("more than a page is read page by page", async () => {
  const texts = Array.from({ length: 300 }, (_, i) => `${i}`);
  const positions = await send(room("busy"), ...texts);
  const one = await history.read(room("busy"), positions[0]!);
  expect(one).toMatchObject({ more: true });
  const two = await history.read(room("busy"), one.messages.at(-1)!.position);
  expect(two).toMatchObject({ more: false });
  const read = [...one.messages, ...two.messages].map(({ position }) => position);
  expect(read).toEqual(positions.slice(1));
});

test("the leader is asked for one at a time", async () => {
  const [first, second, third] = await send(room("exact"), "1", "2", "3");
  const one = await history.read(room("exact"), first!, true);
  expect(one).toMatchObject({ more: true, messages: [{ position: second }] });
  const two = await history.read(room("exact"), second!, true);
  expect(two).toMatchObject({ more: false, messages: [{ position: third }] });
  const none = await history.read(room("exact"), third!, true);
  expect(none).toMatchObject({ more: false, messages: [] });
});

test("a page of large messages ends by their size", async () => {
  const [first] = await send(
    room("large"),
    ...Array.from({ length: 12 }, () => "x".repeat(100_000)),
  );
  const { messages, more } = await history.read(room("large"), first! - 1);
  expect(more).toBe(true);
  expect(messages.length).toBeGreaterThan(3);
  expect(messages.length).toBeLessThan(8);
});

test("what one room had too much of cannot be made good", async () => {
  const texts = Array.from({ length: CHANNEL_MESSAGES_KEPT + 2 }, (_, i) => `${i}`);
  const positions = await send(room("flood"), ...texts);
  expect(await whole(room("flood"), positions[0]!)).toBe(false);
  const gone = await history.read(room("flood"), positions[1]!);
  // What is left follows the oldest that is left.
  expect(gone).toMatchObject({ wholeFrom: positions[2], more: true });
  expect(gone.messages[0]?.position).toBe(positions[2]);
  expect(await whole(room("flood"), positions[2]!)).toBe(true);
});

test("what is no longer kept cannot be made good", async () => {
  const [first, second, third] = await send(room("old"), "0", "1", "2");
  const manager = await jetstreamManager(connection.nc);
  await manager.streams.purge(ROOM_STREAM, { seq: third! });
  expect(await whole(room("old"), first!)).toBe(false);
  const past = await history.read(room("old"), second!);
  expect(past).toMatchObject({ messages: [{ position: third }] });
});

test("what is republished tells its place and that of the message before it", async () => {
  const places: (string | undefined)[][] = [];
  const messages = new NatsMessages(connection);
  messages.subscribe(channelLiveSubject(room("live")), (received) => {
    places.push([received.header("Nats-Sequence"), received.header("Nats-Last-Sequence")]);
  });
  await connection.nc.flush();
  const [first] = await send(room("live"), "1");
  await send(room("elsewhere"), "x");
  const [second] = await send(room("live"), "2");
  await eventually("both came", () => places.length === 2);
  expect(places).toEqual([
    [`${first}`, "0"],
    [`${second}`, `${first}`],
  ]);
});

test("a room stream that was made anew has a later epoch, and higher positions", async () => {
  const before = await history.state();
  const manager = await jetstreamManager(connection.nc);
  await manager.streams.delete(ROOM_STREAM);
  await expect(history.state()).rejects.toThrow("cannot read the state of the room stream");
  await expect(history.newest(room("a"))).rejects.toThrow("cannot read the state");
  await expect(history.read(room("a"), 1)).rejects.toThrow("cannot read the history");
  await delay(1_100);
  await setUp();
  const after = await history.state();
  expect(after.epoch).toBeGreaterThan(before.epoch);
  expect(after.last).toBeGreaterThan(before.last);
  expect(await whole(room("a"), before.last)).toBe(false);
});
