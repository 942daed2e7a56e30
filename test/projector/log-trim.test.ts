import { create, toBinary } from "@bufbuild/protobuf";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NatsBucket } from "../../internal/bus/bucket.ts";
import { NatsLogReader } from "../../internal/bus/log-reader.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { NatsStreams } from "../../internal/bus/streams.ts";
import { LogTrim, planTrim } from "../../internal/projector/log-trim.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { type Checkpoint, encodeJson } from "../../streams/records.ts";
import { acceptedSubject, logSubject } from "../../streams/subjects.ts";
import { appenderOn, connectTo, type TestAppender, type TestConnection } from "../bus/support.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const MIB = 1024 ** 2;
const HOUR_MS = 60 * 60 * 1_000;
const LAYOUT = { partitions: 2, logStreams: 1, replicas: 1, logMaxBytes: 2 * MIB };

let nats: TestNats;
let connection: TestConnection;
let appender: TestAppender["appender"];
let clock: VirtualClock;
let trim: LogTrim;
/** Of the first record that a test stores. */
let first: number;

beforeEach(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, LAYOUT);
  ({ appender } = appenderOn(connection));
  clock = new VirtualClock(Date.now());
  trim = new LogTrim({
    streams: await NatsStreams.open(connection),
    checkpoints: new NatsBucket(connection, "hf_checkpoint"),
    appender,
    clock,
    index: 0,
    ...LAYOUT,
  });
  first = (await log()).first_seq;
});

afterEach(async () => {
  appender?.[Symbol.dispose]();
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

const manager = () => jetstreamManager(connection.nc);

async function log() {
  const jsm = await manager();
  return (await jsm.streams.info("HF_LOG_0")).state;
}

async function store(subject: string, count: number, bytes = 1_000): Promise<number> {
  const js = jetstream(connection.nc);
  const record = toBinary(
    RecordSchema,
    create(RecordSchema, {
      body: { case: "accepted", value: { message: new Uint8Array(bytes) } },
    }),
  );
  let last = 0;
  for (let done = 0; done < count; done++) last = (await js.publish(subject, record)).seq;
  return last;
}

/** As the owner of the partition moves it. */
async function checkpoint(
  partition: number,
  sequence: number,
  snapshot?: { sequence: number },
): Promise<void> {
  const bucket = new NatsBucket(connection, "hf_checkpoint");
  const key = String(partition);
  const before = await bucket.get(key);
  const checkpoint: Checkpoint = { sequence, read: sequence, owner: "p", numbers: {}, dead: {} };
  const value = snapshot === undefined ? checkpoint : { ...checkpoint, snapshot };
  const { kind } = await new Promise<{ kind: string }>((done) =>
    bucket.put(key, encodeJson(value), before?.revision ?? 0, done),
  );
  expect(kind).toBe("stored");
}

const accepted = (partition: number) => acceptedSubject(partition, "demo");

describe("a log that is more than half full", () => {
  test("is cut behind the lowest checkpoint, and every partition can be read on from its own", async () => {
    const ofZero = await store(accepted(0), 700);
    const ofOne = await store(accepted(1), 700);
    await checkpoint(0, ofZero);
    await checkpoint(1, ofOne - 100);

    expect(await trim.round()).toBe(ofZero - first);

    expect((await log()).first_seq).toBe(ofZero);
    const reader = new NatsLogReader(connection, 1);
    // So a new owner knows that it is the log that its checkpoint is of.
    expect(await reader.lastSequence(0)).toBeGreaterThanOrEqual(ofZero);
    const read: number[] = [];
    const lost: Error[] = [];
    const reading = reader.read(1, ofOne - 100, {
      record: (sequence) => void read.push(sequence),
      lost: (why) => void lost.push(why),
    });
    await eventually("all is read", () => read.length === 100);
    reading.stop();
    expect(lost).toEqual([]);
  });

  test("is not cut while a partition has no checkpoint, or one before all of it", async () => {
    await checkpoint(0, await store(accepted(0), 700));
    await store(accepted(1), 700);
    expect(await trim.round()).toBe(0);
    await checkpoint(1, 0);
    expect(await trim.round()).toBe(0);
    expect((await log()).messages).toBe(1_400);
  });

  test("is not held up by a partition where nothing happens", async () => {
    await checkpoint(1, await store(accepted(1), 1));
    const last = await store(accepted(0), 1_400);
    await checkpoint(0, last);

    await trim.round();
    // The silent partition was given a record, which its owner reads.
    const reader = new NatsLogReader(connection, 1);
    await eventually("it is marked", async () => (await reader.lastSequence(1)) > last);
    await checkpoint(1, await reader.lastSequence(1));

    expect(await trim.round()).toBeGreaterThan(1_000);
    expect((await log()).first_seq).toBe(last);
  });

  test("keeps what follows a snapshot, unless it is nearly full", async () => {
    const snapshot = { sequence: await store(accepted(0), 100) };
    const last = await store(accepted(0), 1_200);
    await checkpoint(0, last, snapshot);
    await checkpoint(1, last);
    await trim.round();
    expect((await log()).first_seq).toBe(snapshot.sequence);

    await store(accepted(0), 400);
    await trim.round();
    expect((await log()).first_seq).toBe(last);
  });

  test("keeps who was declared dead as long as the fold remembers it", async () => {
    const dead = logSubject(0, "node-down", "n-1");
    const jsm = await manager();
    const body = { case: "nodeDown", value: { incarnation: "n-1" } } as const;
    const record = toBinary(RecordSchema, create(RecordSchema, { atMs: 1n, body }));
    const declared = (await jetstream(connection.nc).publish(dead, record)).seq;
    const last = await store(accepted(0), 1_400);
    await checkpoint(0, last);
    await checkpoint(1, last);

    await trim.round();

    expect((await log()).first_seq).toBe(last);
    const kept = await jsm.streams.getMessage("HF_LOG_0", { last_by_subj: dead });
    expect(kept?.seq).toBeGreaterThan(declared);
    expect(Buffer.from(kept?.data ?? "")).toEqual(Buffer.from(record));

    clock.advance(48 * HOUR_MS);
    const later = await store(accepted(0), 1_400);
    await checkpoint(0, later);
    await checkpoint(1, later);
    await trim.round();
    expect(await jsm.streams.getMessage("HF_LOG_0", { last_by_subj: dead })).toBeNull();
  });
});

test("a log with room keeps what is behind the checkpoints for an hour", async () => {
  const last = await store(accepted(0), 1_100, 10);
  await checkpoint(0, last);
  await checkpoint(1, last);
  expect(await trim.round()).toBe(0);
  clock.advance(HOUR_MS - 1_000);
  expect(await trim.round()).toBe(0);
  clock.advance(2_000);
  expect(await trim.round()).toBe(last - first);
});

test("a log that is full refuses more, and has everything that it took", async () => {
  const taken: number[] = [];
  const fill = async () => {
    for (;;) taken.push(await store(accepted(0), 1, 50_000));
  };
  await expect(fill()).rejects.toThrow(/maximum bytes exceeded/);
  expect(taken.length).toBeGreaterThan(30);
  expect(await log()).toMatchObject({ messages: taken.length, first_seq: taken[0] });

  await checkpoint(0, taken.at(-1)!);
  await checkpoint(1, taken.at(-1)!);
  expect(await trim.round()).toBe(taken.length - 1);
  await store(accepted(0), 1, 50_000);
});

test("a log that is full to the last byte is cut though a silent partition stands in the way", async () => {
  const silent = await store(accepted(1), 1);
  const dead = logSubject(0, "node-down", "n-1");
  await store(dead, 1);
  const fill = async (bytes: number) => {
    for (;;) await store(accepted(0), 1, bytes);
  };
  for (const bytes of [50_000, 1_000, 1]) {
    await expect(fill(bytes)).rejects.toThrow(/maximum bytes exceeded/);
  }
  await checkpoint(0, (await log()).last_seq);
  await checkpoint(1, silent);

  expect(await trim.round()).toBeGreaterThan(30);

  const reader = new NatsLogReader(connection, 1);
  await eventually("the silent one is marked", async () => (await reader.lastSequence(1)) > silent);
  const jsm = await manager();
  expect(await jsm.streams.getMessage("HF_LOG_0", { last_by_subj: dead })).not.toBeNull();
});

describe("what may go", () => {
  test("lies below what every partition needs, and below what is to be kept", () => {
    const all = [
      { partition: 0, done: 50, last: 90 },
      { partition: 1, done: 70, last: 71 },
    ];
    expect(planTrim(60, all, false)).toEqual({ below: 50, silent: [] });
    expect(planTrim(40, all, false)).toEqual({ below: 40, silent: [] });
    expect(planTrim(60, [], false)).toEqual({ below: 60, silent: [] });
  });

  test("is held up by a silent partition, which is named", () => {
    const all = [
      { partition: 0, done: 100, last: 100 },
      { partition: 1, done: 7, last: 7 },
      { partition: 2, done: 0, last: 0 },
    ];
    expect(planTrim(90, all, false)).toEqual({ below: 0, silent: [1, 2] });
    // Not while somebody else holds it up as much.
    const busy = { partition: 3, done: 5, last: 50 };
    expect(planTrim(90, [...all, busy], false)).toEqual({ below: 0, silent: [2] });
    expect(planTrim(90, [...all, busy], true)).toEqual({ below: 5, silent: [2] });
  });
});
