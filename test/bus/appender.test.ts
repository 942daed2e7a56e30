import {
  DiscardPolicy,
  jetstreamManager,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { appenderOn, bytes, connectTo, type TestConnection, text } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;
let streams = 0;
/** A fresh stream for every test, and the subject it takes. */
let stream: string;
let subject: string;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
});

afterAll(async () => {
  expect(connection?.faults).toEqual([]);
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  streams++;
  stream = `TEST_${streams}`;
  subject = `test.${streams}`;
  await addStream();
});

async function addStream(limits: Partial<StreamConfig> = {}): Promise<void> {
  const jsm = await jetstreamManager(connection.nc);
  const subjects = [`${subject}.>`];
  const storage = StorageType.File;
  await jsm.streams.add({ name: stream, subjects, storage, allow_direct: true, ...limits });
}

/** Everything in the stream, in its order. */
async function contents(): Promise<string[]> {
  const jsm = await jetstreamManager(connection.nc);
  const batch = (await jsm.streams.info(stream)).state.messages;
  const stored: string[] = [];
  for await (const message of await jsm.direct.getBatch(stream, { seq: 1, batch })) {
    stored.push(text(message.data));
  }
  return stored;
}

async function lastSequence(): Promise<number> {
  return (await (await jetstreamManager(connection.nc)).streams.info(stream)).state.last_seq;
}

describe("append", () => {
  test("10,000 records are stored once each, in order, and each learns its sequence", async () => {
    const { appender, stalled } = appenderOn(connection);
    using _ = appender;
    const sequences: number[] = [];
    for (let i = 0; i < 10_000; i++) {
      appender.append(`${subject}.a`, bytes(i), (sequence) => sequences.push(sequence));
    }
    await eventually("all are stored", () => appender.backlog === 0);
    expect(sequences).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1));
    expect(await lastSequence()).toBe(10_000);
    expect(stalled).toEqual([]);
  });

  test("no more than the window allows is on its way to the server", async () => {
    const limits = { maxInFlight: 8, maxInFlightBytes: 1e6, maxBacklog: 100, maxBacklogBytes: 1e6 };
    const { appender } = appenderOn(connection, limits);
    using _ = appender;
    const before = connection.nc.stats().outMsgs;
    for (let i = 0; i < 50; i++) appender.append(`${subject}.a`, bytes(i));
    expect(connection.nc.stats().outMsgs - before).toBe(8);
    await eventually("all are stored", () => appender.backlog === 0);
    expect(await lastSequence()).toBe(50);
  });

  test("it is not ready while too much waits, and ready again when that is stored", async () => {
    const limits = { maxInFlight: 8, maxInFlightBytes: 1e6, maxBacklog: 100, maxBacklogBytes: 1e6 };
    const { appender } = appenderOn(connection, limits);
    using _ = appender;
    for (let i = 0; i < 101; i++) appender.append(`${subject}.a`, bytes(i));
    expect(appender.ready).toBe(false);
    await eventually("it is ready", () => appender.ready);
    expect(appender.backlog).toBeLessThanOrEqual(50);
  });

  test("a record larger than the stream takes is dropped and reported, those around it are stored", async () => {
    subject = `${subject}x`;
    stream = `${stream}_SMALL`;
    await addStream({ max_msg_size: 100 });
    const { appender, refused } = appenderOn(connection);
    using _ = appender;
    appender.append(`${subject}.a`, bytes("before"));
    appender.append(`${subject}.large`, new Uint8Array(500));
    appender.append(`${subject}.a`, bytes("after"));
    await eventually("all are dealt with", () => appender.backlog === 0);
    expect(await contents()).toEqual(["before", "after"]);
    expect(refused.map((one) => one.subject)).toEqual([`${subject}.large`]);
  });

  test("a record larger than the server takes is dropped and reported", async () => {
    const { appender, refused } = appenderOn(connection);
    using _ = appender;
    appender.append(`${subject}.large`, new Uint8Array(connection.maxPayload + 1));
    appender.append(`${subject}.a`, bytes("after"));
    await eventually("all are dealt with", () => appender.backlog === 0);
    expect(await contents()).toEqual(["after"]);
    expect(refused).toMatchObject([{ subject: `${subject}.large`, why: { code: "invalid" } }]);
  });

  test("while no stream takes them, records wait and the reason is reported; they are stored once there is one", async () => {
    subject = `${subject}x`;
    stream = `${stream}_LATE`;
    const { appender, stalled } = appenderOn(connection);
    using _ = appender;
    for (let i = 0; i < 100; i++) appender.append(`${subject}.a`, bytes(i));
    await eventually("it is reported", () => stalled.length > 0);
    expect(stalled[0]).toMatchObject({ code: "unavailable" });
    await addStream();
    await eventually("all are stored", () => appender.backlog === 0);
    expect(await contents()).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    expect(stalled).toHaveLength(1);
  });
});

test("a stream that does not answer is reported after five seconds, and tried again", async () => {
  const jsm = await jetstreamManager(connection.nc);
  await jsm.streams.update(stream, { no_ack: true });
  const clock = new VirtualClock();
  const { appender, stalled } = appenderOn(connection, undefined, clock);
  using _ = appender;
  appender.append(`${subject}.a`, bytes("a"));
  appender.append(`${subject}.a`, bytes("b"));
  await eventually("they are in the stream", async () => (await lastSequence()) === 2);
  clock.advance(4_000);
  expect(stalled).toEqual([]);
  clock.advance(2_000);
  expect(stalled).toMatchObject([{ code: "timeout" }]);
  await jsm.streams.update(stream, { no_ack: false });
  await eventually("they are stored", () => {
    clock.advance(100);
    return appender.backlog === 0;
  });
  expect((await contents()).slice(-2)).toEqual(["a", "b"]);
});

describe("hold, release and discard", () => {
  test("held back, nothing is stored; released, everything is", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    appender.hold();
    for (let i = 0; i < 3; i++) appender.append(`${subject}.a`, bytes(i));
    await connection.outbound.flush();
    expect(await lastSequence()).toBe(0);
    appender.release();
    await eventually("all are stored", () => appender.backlog === 0);
    expect(await contents()).toEqual(["0", "1", "2"]);
  });

  test("what was discarded is neither stored nor called back, what comes after it is", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const called: string[] = [];
    appender.hold();
    appender.append(`${subject}.a`, bytes("dropped"), () => called.push("dropped"));
    appender.discard();
    appender.append(`${subject}.a`, bytes("kept"), () => called.push("kept"));
    appender.release();
    await eventually("it is stored", () => appender.backlog === 0);
    expect(await contents()).toEqual(["kept"]);
    expect(called).toEqual(["kept"]);
  });

  test("after a discard the answers to what was already sent are not called back", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const called: string[] = [];
    appender.append(`${subject}.a`, bytes("sent"), () => called.push("sent"));
    appender.discard();
    appender.append(`${subject}.a`, bytes("next"), () => called.push("next"));
    await eventually("the next is stored", () => appender.backlog === 0);
    expect(called).toEqual(["next"]);
  });
});

describe("appendFirst", () => {
  const firstOn = (on: TestConnection, payload: string) => {
    const { appender } = appenderOn(on);
    return new Promise<boolean>((done) =>
      appender.appendFirst(`${subject}.once`, bytes(payload), (stored) => {
        appender[Symbol.dispose]();
        done(stored);
      }),
    );
  };

  test("of two that write the same subject at once, one stores its record and both learn it", async () => {
    await using other = await connectTo(nats);
    const outcomes = await Promise.all([firstOn(connection, "a"), firstOn(other, "b")]);
    expect(outcomes.toSorted()).toEqual([false, true]);
    expect(await contents()).toEqual([outcomes[0] ? "a" : "b"]);
  });

  test("a repetition of what somebody else had stored first does not count", async () => {
    await using other = await connectTo(nats);
    expect(await firstOn(other, "theirs")).toBe(true);
    const { appender } = appenderOn(connection);
    using _ = appender;
    const outcome = new Promise<boolean>((done) =>
      appender.appendFirst(`${subject}.once`, bytes("mine"), done),
    );
    await connection.nc.reconnect();
    expect(await outcome).toBe(false);
    expect(await contents()).toEqual(["theirs"]);
  });

  test("a repetition whose first answer was lost counts as stored by this call", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const outcome = new Promise<boolean>((done) =>
      appender.appendFirst(`${subject}.once`, bytes("mine"), done),
    );
    // Sent, but the connection is gone before its answer.
    await connection.nc.reconnect();
    expect(await outcome).toBe(true);
    expect(await contents()).toEqual(["mine"]);
  });
});

describe("a broker that goes away", () => {
  test("killed and restarted under load, nothing is lost and order is kept", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const stored: { id: number; sequence: number }[] = [];
    let id = 0;
    let feeding = true;
    const feed = () => {
      for (let n = 0; n < 50 && appender.ready; n++) {
        const own = id++;
        appender.append(`${subject}.a`, bytes(own), (sequence) =>
          stored.push({ id: own, sequence }),
        );
      }
      if (feeding) setTimeout(feed, 1);
    };
    feed();
    for (let round = 1; round <= 2; round++) {
      const target = stored.length + 1_000;
      await eventually("records are stored", () => stored.length >= target);
      await nats.restart();
    }
    const target = stored.length + 1_000;
    await eventually("records are stored again", () => stored.length >= target);
    feeding = false;
    await eventually("all are stored", () => appender.backlog === 0);

    expect(stored.map((one) => one.id)).toEqual(Array.from({ length: id }, (_, i) => i));
    const log = await contents();
    for (const one of stored) expect(log[one.sequence - 1]).toBe(String(one.id));
    const lastCopy = new Map(log.map((entry, at) => [entry, at]));
    const positions = stored.map((one) => lastCopy.get(String(one.id))!);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
  });

  test("while it is away no more is handed to the client library, and readiness ends at the bound", async () => {
    const limits = { maxInFlight: 8, maxInFlightBytes: 1e6, maxBacklog: 20, maxBacklogBytes: 1e6 };
    const { appender } = appenderOn(connection, limits);
    using _ = appender;
    await nats.kill();
    await eventually("the loss is noticed", () => !connection.link.connected);
    const before = connection.nc.stats().outMsgs;
    for (let i = 0; i < 21; i++) appender.append(`${subject}.a`, bytes(i));
    expect(connection.nc.stats().outMsgs).toBe(before);
    expect(appender.ready).toBe(false);
    await nats.start();
    await eventually("all are stored", () => appender.backlog === 0);
    expect(await contents()).toEqual(Array.from({ length: 21 }, (_, i) => String(i)));
  });
});

describe("append with headers", () => {
  const withId = (id: string) => ({ headers: { "Nats-Msg-Id": id } });

  test("a second message of an id is not stored, and its sender learns of the first", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const told: [number, boolean][] = [];
    const stored = (sequence: number, duplicate: boolean) => void told.push([sequence, duplicate]);
    appender.append(`${subject}.a`, bytes("one"), stored, withId("m1"));
    appender.append(`${subject}.a`, bytes("two"), stored, withId("m1"));
    appender.append(`${subject}.a`, bytes("three"), stored, withId("m2"));
    await eventually("all are answered", () => told.length === 3);
    const first = told[0]![0];
    expect(told).toEqual([
      [first, false],
      [first, true],
      [first + 1, false],
    ]);
    expect(await contents()).toEqual(["one", "three"]);
  });

  test("a message that was sent again because of a lost answer is no duplicate", async () => {
    const { appender } = appenderOn(connection);
    using _ = appender;
    const told: boolean[] = [];
    for (let i = 0; i < 500; i++) {
      const stored = (_: number, duplicate: boolean) => void told.push(duplicate);
      appender.append(`${subject}.a`, bytes(i), stored, withId(`m${i}`));
    }
    await nats.restart();
    await eventually("all are answered", () => told.length === 500);
    expect(told.filter((duplicate) => duplicate)).toEqual([]);
    expect(await contents()).toHaveLength(500);
  });

  test("a full subject refuses, its sender is told, and the others go on", async () => {
    const jsm = await jetstreamManager(connection.nc);
    await jsm.streams.delete(stream);
    const full = { max_msgs_per_subject: 1, discard: DiscardPolicy.New };
    await addStream({ ...full, discard_new_per_subject: true });
    const { appender, refused, stalled } = appenderOn(connection);
    using _ = appender;
    const told: string[] = [];
    for (const [i, name] of ["a", "a", "b"].entries()) {
      appender.append(`${subject}.${name}`, bytes(i), () => told.push(`${i} stored`), {
        refused: ({ code }) => void told.push(`${i} ${code}`),
      });
    }
    await eventually("all are answered", () => told.length === 3);
    expect(told).toEqual(["0 stored", "1 exhausted", "2 stored"]);
    expect(await contents()).toEqual(["0", "2"]);
    expect([refused, stalled]).toEqual([[], []]);
  });

  test("a full stream refuses those who ask for that, and keeps the others until there is room", async () => {
    const jsm = await jetstreamManager(connection.nc);
    await jsm.streams.delete(stream);
    await addStream({ max_bytes: 2_000, discard: DiscardPolicy.New });
    const { appender, refused, stalled } = appenderOn(connection);
    using _ = appender;
    const told: string[] = [];
    const append = (name: string, refuseWhenFull: boolean) =>
      appender.append(`${subject}.a`, new Uint8Array(900), () => told.push(`${name} stored`), {
        refuseWhenFull,
        refused: ({ code }) => void told.push(`${name} ${code}`),
      });
    append("one", true);
    append("two", true);
    append("three", true);
    await eventually("all are answered", () => told.length === 3);
    expect(told).toEqual(["one stored", "two stored", "three unavailable"]);
    expect([refused, stalled]).toEqual([[], []]);

    append("four", false);
    await eventually("it is said that it waits", () => stalled.length === 1);
    expect(stalled[0]?.message).toMatch(/maximum bytes exceeded/);
    await jsm.streams.purge(stream);
    await eventually("it is stored when there is room", () => told.includes("four stored"));
  });
});
