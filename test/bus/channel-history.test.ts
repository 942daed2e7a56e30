import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NatsChannelHistory } from "../../internal/bus/channel-history.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { CHANNEL_MESSAGES_KEPT, ROOM_STREAM } from "../../streams/layout.ts";
import { type Channel, channelInSubject } from "../../streams/subjects.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, bytes, connectTo, type TestConnection, text } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;
let history: NatsChannelHistory;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, {
    partitions: 1,
    logStreams: 1,
    replicas: 1,
    logMaxBytes: 1 << 20,
  });
  history = await NatsChannelHistory.open(connection);
});
afterAll(async () => {
  await connection.close();
  await nats[Symbol.asyncDispose]();
});

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

test("everything sent after the newest position is above it, also in a room that was silent", async () => {
  await send(room("loud"), "x");
  const newest = await history.newest();
  const [later] = await send(room("silent"), "first");
  expect(later).toBeGreaterThan(newest);
  const missed = await history.since(room("silent"), newest, 10);
  expect(missed?.map(({ position }) => position)).toEqual([later]);
});

test("the newest position is never older than the question, however many are asked at once", async () => {
  const early = [history.newest(), history.newest()];
  const [sent] = await send(room("a"), "x");
  const late = await Promise.all([history.newest(), history.newest(), history.newest()]);
  for (const position of late) expect(position).toBeGreaterThanOrEqual(sent!);
  await Promise.all(early);
});

test("what was sent to the room since a position comes back in order, and nothing of other rooms", async () => {
  const [first] = await send(room("a"), "one");
  await send(room("b"), "elsewhere");
  const [second, third] = await send(room("a"), "two", "three");
  const missed = await history.since(room("a"), first!, 10);
  expect(missed?.map(({ position, data }) => [position, text(data)])).toEqual([
    [second, "two"],
    [third, "three"],
  ]);
  expect(await history.since(room("a"), third!, 10)).toEqual([]);
});

test("more than the limit cannot be made good", async () => {
  const [first] = await send(room("busy"), "0", "1", "2", "3");
  expect(await history.since(room("busy"), first!, 3)).toHaveLength(3);
  expect(await history.since(room("busy"), first!, 2)).toBeUndefined();
});

test("what one room had too much of cannot be made good", async () => {
  const texts = Array.from({ length: CHANNEL_MESSAGES_KEPT + 2 }, (_, i) => `${i}`);
  const [first, second, third] = await send(room("flood"), ...texts);
  expect(await history.since(room("flood"), first!, 2_000)).toBeUndefined();
  expect(await history.since(room("flood"), second!, 2_000)).toBeUndefined();
  expect(await history.since(room("flood"), third!, 2_000)).toHaveLength(CHANNEL_MESSAGES_KEPT - 1);
});

test("what is no longer kept cannot be made good", async () => {
  const [first, second, third] = await send(room("old"), "0", "1", "2");
  const manager = await jetstreamManager(connection.nc);
  await manager.streams.purge(ROOM_STREAM, { seq: third! });
  expect(await history.since(room("old"), first!, 10)).toBeUndefined();
  expect(await history.since(room("old"), second!, 10)).toHaveLength(1);
});

test("a position of a stream that was made anew since is not mistaken for one of this", async () => {
  const newest = await history.newest();
  expect(await history.since(room("a"), newest + 100, 10)).toBeUndefined();
});

test("a room stream that is not there is said to be missing", async () => {
  const manager = await jetstreamManager(connection.nc);
  await manager.streams.delete(ROOM_STREAM);
  await expect(history.newest()).rejects.toThrow("cannot read the state of the room stream");
  await expect(history.since(room("a"), 1, 10)).rejects.toThrow("cannot read the history");
});
