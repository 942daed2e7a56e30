import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { NatsChannelHistory } from "../../internal/bus/channel-history.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { ROOM_STREAM } from "../../streams/layout.ts";
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

test("a room nobody has written to is at position 0", async () => {
  expect(await history.newest(room("quiet"))).toBe(0);
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
  expect(await history.newest(room("a"))).toBe(third);
  expect(await history.since(room("a"), third!, 10)).toEqual([]);
});

test("more than the limit cannot be made good", async () => {
  const [first] = await send(room("busy"), "0", "1", "2", "3");
  expect(await history.since(room("busy"), first!, 3)).toHaveLength(3);
  expect(await history.since(room("busy"), first!, 2)).toBeUndefined();
});

test("what is no longer kept cannot be made good", async () => {
  const [first, second] = await send(room("old"), "0", "1", "2");
  const manager = await jetstreamManager(connection.nc);
  await manager.streams.purge(ROOM_STREAM, { filter: channelInSubject(room("old")), seq: second! });
  expect(await history.since(room("old"), first!, 10)).toBeUndefined();
});

test("a position of another room is not mistaken for one of this", async () => {
  const [elsewhere] = await send(room("x"), "x");
  await send(room("y"), "y");
  expect(await history.since(room("y"), elsewhere!, 10)).toBeUndefined();
});
