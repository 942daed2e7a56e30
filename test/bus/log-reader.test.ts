import { jetstreamManager } from "@nats-io/jetstream";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NatsLogReader } from "../../internal/bus/log-reader.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { logSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, bytes, connectTo, type TestConnection, text } from "./support.ts";

const LAYOUT = { partitions: 4, logStreams: 2, replicas: 1, logMaxBytes: 64 * 1024 * 1024 };
const STREAM = "HF_LOG_0";

let nats: TestNats;
let connection: TestConnection;
let reader: NatsLogReader;

beforeEach(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, LAYOUT);
  reader = new NatsLogReader(connection, LAYOUT.logStreams);
});

afterEach(async () => {
  expect(connection?.faults).toEqual([]);
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

const manager = () => jetstreamManager(connection.nc);

/** Stores records in these partitions; resolves to their sequences. */
async function store(partitions: number[], from = 0): Promise<number[]> {
  const { appender } = appenderOn(connection);
  using _ = appender;
  const sequences: number[] = [];
  for (const [i, partition] of partitions.entries()) {
    const subject = logSubject(partition, "digest", "node-a");
    appender.append(subject, bytes(`${partition}:${from + i}`), (s) => sequences.push(s));
  }
  await eventually("all are stored", () => sequences.length === partitions.length);
  return sequences;
}

function readFrom(partition: number, after: number) {
  const records: string[] = [];
  const sequences: number[] = [];
  const lost: string[] = [];
  const subscription = reader.read(partition, after, {
    record: (sequence, data) => {
      sequences.push(sequence);
      records.push(text(data));
    },
    lost: (why) => lost.push(why.message),
  });
  return { records, sequences, lost, stop: () => subscription.stop() };
}

/** The same connection, but the first delivery of each message that `drop` picks is lost. */
function withLoss(real: TestConnection, drop: (message: Msg) => boolean): TestConnection {
  const lost = new Set<string>();
  const nc: NatsConnection = Object.create(real.nc);
  nc.subscribe = (subject, options) =>
    real.nc.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        const content = text(message.data);
        if (drop(message) && !lost.has(content)) lost.add(content);
        else options?.callback?.(error, message);
      },
    });
  return { ...real, nc };
}

/** The same connection, but every consumer begins with the first message, wherever it should. */
function withEarlyConsumers(real: TestConnection): TestConnection {
  const nc: NatsConnection = Object.create(real.nc);
  nc.request = (subject, payload, options) => {
    const asked = text(payload as Uint8Array).replace(/"opt_start_seq":\d+/, '"opt_start_seq":1');
    return real.nc.request(
      subject,
      subject.includes(".CONSUMER.CREATE.") ? asked : payload,
      options,
    );
  };
  return { ...real, nc };
}

test("a reader gets the records of its partition, and no others, in order with their sequences", async () => {
  const sequences = await store([0, 2, 0, 1, 2, 0]);
  const read = readFrom(0, 0);
  await eventually("the stored ones are read", () => read.records.length === 3);
  await store([0], 6);
  await eventually("the new one is read", () => read.records.length === 4);
  expect(read.records).toEqual(["0:0", "0:2", "0:5", "0:6"]);
  expect(read.sequences.slice(0, 3)).toEqual([sequences[0], sequences[2], sequences[5]]);
  read.stop();
});

test("a reader that begins after a sequence gets only what is above it", async () => {
  const sequences = await store([0, 0, 0]);
  const read = readFrom(0, sequences[1]!);
  await eventually("the rest is read", () => read.records.length > 0);
  expect(read.records).toEqual(["0:2"]);
  read.stop();
});

test("a stopped reader gets nothing more", async () => {
  const read = readFrom(0, 0);
  await store([0]);
  await eventually("it reads", () => read.records.length === 1);
  read.stop();
  await store([0]);
  await connection.outbound.flush();
  expect(read.records).toHaveLength(1);
});

test("the last sequence of a partition is that of its newest record, 0 for none", async () => {
  const sequences = await store([0, 2, 0, 2]);
  expect(await reader.lastSequence(0)).toBe(sequences[2]);
  expect(await reader.lastSequence(2)).toBe(sequences[3]);
  expect(await reader.lastSequence(1)).toBe(0);
});

test("a server that is killed and restarted under load costs a reader no record and repeats none", async () => {
  const { appender } = appenderOn(connection);
  using _ = appender;
  let next = 0;
  const appended: number[] = [];
  const feeding = setInterval(() => {
    for (let n = 0; n < 50 && appender.ready; n++) {
      appender.append(logSubject(0, "digest", "a"), bytes(next++), (s) => appended.push(s));
    }
  }, 2);
  const read = readFrom(0, 0);
  for (let round = 0; round < 2; round++) {
    const target = read.records.length + 500;
    await eventually("records are read", () => read.records.length >= target);
    await nats.restart();
  }
  const target = read.records.length + 500;
  await eventually("records are read again", () => read.records.length >= target);
  clearInterval(feeding);
  await eventually("all are stored", () => appender.backlog === 0);
  const end = await reader.lastSequence(0);
  await eventually("all are read", () => read.sequences.at(-1) === end);
  read.stop();

  const jsm = await manager();
  const { state } = await jsm.streams.info(STREAM);
  const all = Array.from({ length: state.messages }, (_, i) => state.first_seq + i);
  expect(read.sequences).toEqual(all);
  expect(read.lost).toEqual([]);
});

test("the deletion of its consumer costs a reader no record and repeats none", async () => {
  const read = readFrom(0, 0);
  await store([0, 0]);
  await eventually("records are read", () => read.records.length === 2);
  const jsm = await manager();
  for (const { name } of await jsm.consumers.list(STREAM).next()) {
    await jsm.consumers.delete(STREAM, name);
  }
  await store([0, 0], 2);
  await eventually("the rest is read", () => read.records.length === 4);
  expect(read.records).toEqual(["0:0", "0:1", "0:2", "0:3"]);
  read.stop();
});

test("a consumer that begins too early, on a copy of the stream that lags behind, repeats none", async () => {
  const sequences = await store([0, 0, 0]);
  reader = new NatsLogReader(withEarlyConsumers(connection), LAYOUT.logStreams);
  const read = readFrom(0, sequences[1]!);
  await eventually("the rest is read", () => read.records.length > 0);
  await store([0], 3);
  await eventually("the new one is read", () => read.records.length > 1);
  expect(read.records).toEqual(["0:2", "0:3"]);
  read.stop();
});

test("deliveries that are lost on the way are read again, and none comes twice", async () => {
  const lossy = withLoss(connection, (message) => /^0:[1346]$/.test(text(message.data)));
  reader = new NatsLogReader(lossy, LAYOUT.logStreams);
  const read = readFrom(0, 0);
  await store(Array.from({ length: 8 }, () => 0));
  await eventually("all are read", () => read.records.length === 8);
  expect(read.records).toEqual(Array.from({ length: 8 }, (_, i) => `0:${i}`));
  read.stop();
});

test("a log that was cut below what a reader wants is lost to it", async () => {
  const sequences = await store([0, 0, 0, 0]);
  await (await manager()).streams.purge(STREAM, { seq: sequences[2]! });
  const read = readFrom(0, sequences[0]!);
  await eventually("the loss is told", () => read.lost.length > 0);
  expect(read.lost).toEqual([
    `stream ${STREAM} begins at sequence ${sequences[2]}; what followed ${sequences[0]} is gone`,
  ]);
  expect(read.records).toEqual([]);
});

test("a log that was cut below what a reader has had already is not lost to it", async () => {
  const sequences = await store([0, 0, 0, 0]);
  await (await manager()).streams.purge(STREAM, { seq: sequences[2]! });
  const read = readFrom(0, sequences[1]!);
  await eventually("the rest is read", () => read.records.length === 2);
  expect(read.lost).toEqual([]);
  read.stop();
});

test("what other partitions lose is no loss to a reader that has seen it pass by", async () => {
  const read = readFrom(0, 0);
  await store([0]);
  await eventually("it reads", () => read.records.length === 1);
  await store(Array.from({ length: 50 }, () => 2));
  // Nothing but heartbeats comes in now. They tell how far the server has looked.
  const before = connection.nc.stats().inMsgs;
  await eventually("heartbeats come", () => connection.nc.stats().inMsgs >= before + 2);
  await (await manager()).streams.purge(STREAM);
  await nats.restart();
  await eventually("the connection is back", () => connection.link.connected);
  await store([0], 1);
  await eventually("it reads on", () => read.records.length === 2);
  expect(read.lost).toEqual([]);
  read.stop();
});

test("a log that was deleted and made anew is lost to its readers, and they get nothing of the new one", async () => {
  await store([0, 0]);
  const read = readFrom(0, 0);
  await eventually("records are read", () => read.records.length === 2);
  await (await manager()).streams.delete(STREAM);
  await reconcile(connection.nc, LAYOUT);
  await store([0, 0, 0], 10);
  await eventually("the loss is told", () => read.lost.length > 0);
  expect(read.records).toEqual(["0:0", "0:1"]);
  expect(read.lost).toEqual([`stream ${STREAM} was deleted and made anew`]);
});

test("a log that is not there is lost at once", async () => {
  await (await manager()).streams.delete(STREAM);
  const read = readFrom(0, 0);
  await eventually("the loss is told", () => read.lost.length > 0);
  expect(read.lost[0]).toMatch(/cannot read HF_LOG_0: stream not found/);
});

test("a handler that throws is reported, and the reader goes on", async () => {
  const got: number[] = [];
  const subscription = reader.read(0, 0, {
    record: (sequence) => {
      got.push(sequence);
      throw new Error("a bug");
    },
    lost: () => {},
  });
  await store([0, 0]);
  await eventually("both are read", () => got.length === 2);
  expect(connection.faults.splice(0)).toHaveLength(2);
  subscription.stop();
});

test("a paused reader gets nothing, the server holds the rest back, and then it comes in order", async () => {
  const count = 4_000;
  const size = 8_000;
  const { appender } = appenderOn(connection);
  using _ = appender;
  const records: number[] = [];
  const reading = reader.read(0, 0, {
    record: (_sequence, data) => {
      records.push(data[0]! * 256 + data[1]!);
      // As often as a feed that is crowded says so.
      if (records.length === 3) reading.pause();
    },
    lost: (why) => expect.unreachable(why.message),
  });
  const read = connection.nc.stats().inBytes;
  for (let i = 0; i < count; i++) {
    const payload = new Uint8Array(size);
    payload.set([i >> 8, i & 255]);
    appender.append(logSubject(0, "digest", "node-a"), payload);
  }
  await eventually("all are stored", () => appender.backlog === 0);
  const consumers = await eventually("the server waits", async () => {
    const found = await (await manager()).consumers.list(STREAM).next();
    return found.length === 1 && found;
  });
  expect(consumers[0]!.num_pending).toBeGreaterThan(0);
  expect(records).toEqual([0, 1, 2]);
  expect(connection.nc.stats().inBytes - read).toBeLessThan((count * size) / 2);
  reading.resume();
  await eventually("all are read", () => records.length === count);
  expect(records).toEqual(Array.from({ length: count }, (_, i) => i));
  reading.stop();
});

/** Records with the times at which they were stored, until there are so many. */
async function readWithTimes(from: NatsLogReader, count: number) {
  const records: { sequence: number; storedAtMs: number }[] = [];
  const lost: string[] = [];
  const reading = from.read(0, 0, {
    record: (sequence, _data, storedAtMs) => records.push({ sequence, storedAtMs }),
    lost: (why) => lost.push(why.message),
  });
  await eventually("they are read", () => records.length === count);
  return { records, lost, stop: () => reading.stop() };
}

test("a log holds what it was read to have, and what was only deleted, but not what it has lost", async () => {
  await store([0, 0, 0]);
  const { records, stop } = await readWithTimes(reader, 3);
  stop();
  const [, second, third] = records;
  for (const { sequence, storedAtMs } of records) {
    expect(await reader.holds(0, sequence, storedAtMs)).toBe(true);
  }
  // Another record took its place, a day later; or nothing has yet.
  expect(await reader.holds(0, third!.sequence, third!.storedAtMs - 86_400_000)).toBe(false);
  expect(await reader.holds(0, third!.sequence + 1, third!.storedAtMs)).toBe(false);
  await (await manager()).streams.deleteMessage(STREAM, second!.sequence);
  expect(await reader.holds(0, second!.sequence, second!.storedAtMs)).toBe(true);
});

/** The same connection, but after `begin` every stored message is told to be of another time. */
function withOtherTimes(real: TestConnection) {
  const nc: NatsConnection = Object.create(real.nc);
  let others = false;
  nc.request = async (subject, payload, options) => {
    const answer = await real.nc.request(subject, payload, options);
    if (!others || !subject.includes(".STREAM.MSG.GET.")) return answer;
    const data = bytes(text(answer.data).replace(/"time":"\d{4}/, '"time":"2001'));
    return Object.create(answer, { data: { value: data } });
  };
  return {
    connection: { ...real, nc },
    begin() {
      others = true;
    },
  };
}

test("a log that has lost its end and has grown past the reader again is not read on", async () => {
  const { connection: other, begin } = withOtherTimes(connection);
  const grown = new NatsLogReader(other, LAYOUT.logStreams);
  await store([0, 0]);
  const { records, lost, stop } = await readWithTimes(grown, 2);
  begin();
  await nats.restart();
  await store([0], 2);
  await eventually("it is noticed", () => lost.length > 0);
  expect(lost[0]).toContain("another message at sequence");
  expect(records).toHaveLength(2);
  stop();
});
