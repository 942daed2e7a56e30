import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NatsBucket } from "../../internal/bus/bucket.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { NatsStreams } from "../../internal/bus/streams.ts";
import { equalParts, purgeState } from "../../internal/projector/state-purge.ts";
import { handledUpTo, purgeUplinks } from "../../internal/projector/uplink-purge.ts";
import { BUSINESS_DEFAULTS } from "../../streams/records.ts";
import { appKey, connectionStateSubject, uplinkSubject } from "../../streams/subjects.ts";
import { connectTo, type TestConnection } from "../bus/support.ts";
import { type TestNats, testNats } from "../support/nats.ts";

const MIB = 1024 ** 2;
const LAYOUT = {
  partitions: 2,
  logStreams: 1,
  replicas: 1,
  logMaxBytes: MIB,
  uplinkMaxBytes: MIB,
  stateMaxBytes: MIB,
};

let nats: TestNats;
let connection: TestConnection;
let streams: NatsStreams;
const manager = () => jetstreamManager(connection.nc);

beforeEach(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, LAYOUT);
  streams = await NatsStreams.open(connection);
});

afterEach(async () => {
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function store(subject: string, count: number, bytes = 1_000): Promise<void> {
  const js = jetstream(connection.nc);
  for (let done = 0; done < count; done++) await js.publish(subject, new Uint8Array(bytes));
}

const chat = uplinkSubject("demo", "chat");
const orders = uplinkSubject("demo", "orders");

/** Has a durable consumer handle so many. */
async function handle(durable: string, filter: string, count: number): Promise<void> {
  const jsm = await manager();
  await jsm.consumers.add("HF_UPLINK", {
    durable_name: durable,
    filter_subject: filter,
    ack_policy: AckPolicy.Explicit,
  });
  const consumer = await jetstream(connection.nc).consumers.get("HF_UPLINK", durable);
  for (let done = 0; done < count; done++) {
    const message = await consumer.next();
    await message?.ackAck();
  }
}

const purge = (maxStoredBytes = 0) =>
  purgeUplinks({
    streams,
    business: () => ({ ...BUSINESS_DEFAULTS, mode: "stream", maxStoredBytes }),
    random: Math.random,
  });

const left = async (subject: string) => await streams.count("HF_UPLINK", subject);

test("uplinks that every durable consumer has handled make room, and no others", async () => {
  await store(chat, 200);
  await store(orders, 200);
  await handle("fast", chat, 150);
  await handle("slow", chat, 120);

  // Half of a quarter of the stream is reached by both, and orders has no consumer.
  expect(await purge()).toBe(120);
  expect(await left(chat)).toBe(80);
  expect(await left(orders)).toBe(200);
  expect(await purge()).toBe(0);

  await handle("slow", chat, 80);
  await handle("fast", chat, 50);
  await store(chat, 100);
  expect(await purge()).toBe(80);
  expect(await left(chat)).toBe(100);
});

test("uplinks that were handled stay while there is room for them", async () => {
  await store(chat, 50);
  await handle("d", chat, 50);
  expect(await purge()).toBe(0);
  expect(await left(chat)).toBe(50);
  // A business that may have less has to make room sooner.
  expect(await purge(60_000)).toBe(50);
});

test("a full stream of uplinks refuses, and has every uplink that it took", async () => {
  await store(orders, 10);
  const flood = async () => {
    for (;;) await store(chat, 1, 20_000);
  };
  await expect(flood()).rejects.toThrow(/maximum bytes exceeded/);
  expect(await left(orders)).toBe(10);
  const taken = await left(chat);
  await handle("d", "hf.up.demo.*", 10 + taken);
  expect(await purge()).toBe(10 + taken);
  await store(chat, 1, 20_000);
});

test("a consumer counts for the subjects it is given", () => {
  const one = { filters: ["hf.up.demo.chat"], handled: 5 };
  const all = { filters: [], handled: 3 };
  const wide = { filters: ["hf.up.*.orders", "hf.up.shop.>"], handled: 2 };
  expect(handledUpTo(chat, [one, wide])).toBe(5);
  expect(handledUpTo(chat, [one, all, wide])).toBe(3);
  expect(handledUpTo(orders, [one, wide])).toBe(2);
  expect(handledUpTo(uplinkSubject("shop", "x"), [one, wide])).toBe(2);
  expect(handledUpTo(uplinkSubject("other", "x"), [one, wide])).toBe(0);
});

test("an app in a storm loses its own oldest events, and another app none", async () => {
  const apps = new NatsBucket(connection, "hf_app");
  for (const app of ["quiet", "storm.eu"]) {
    await new Promise((done) => apps.put(appKey(app), new Uint8Array(2), 0, done));
  }
  await store(connectionStateSubject("quiet", "online", "d1"), 20);
  await store(connectionStateSubject("storm.eu", "online", "d1"), 400);
  expect(await purgeState(streams, apps)).toBe(0);
  const storm = connectionStateSubject("storm.eu", "online", "d2");
  const flood = async () => {
    for (;;) await store(storm, 1);
  };
  // Nothing is dropped to make room for the storm: it has to wait.
  await expect(flood()).rejects.toThrow(/maximum bytes exceeded/);

  expect(await purgeState(streams, apps)).toBeGreaterThan(300);

  expect(await streams.count("HF_STATE", "hf.state.quiet.>")).toBe(20);
  expect(await streams.count("HF_STATE", storm)).toBeGreaterThan(300);
  await store(storm, 100);
});

test("room is divided equally among those who want more than that", () => {
  const wanted = new Map([
    ["small", 10],
    ["large", 1_000],
    ["huge", 9_000],
  ]);
  expect(equalParts(wanted, 510)).toEqual(
    new Map([
      ["large", 250],
      ["huge", 250],
    ]),
  );
  expect(equalParts(wanted, 2_010)).toEqual(new Map([["huge", 1_000]]));
  expect(equalParts(wanted, 20_000)).toEqual(new Map());
  expect(equalParts(new Map(), 5)).toEqual(new Map());
});
