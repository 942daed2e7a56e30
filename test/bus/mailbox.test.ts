import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Mail, MailHeader } from "../../internal/bus/contract.ts";
import { NatsMailbox } from "../../internal/bus/mailbox.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import type { HoldfastError } from "../../internal/status/errors.ts";
import { MAIL_STREAM } from "../../streams/layout.ts";
import { partitionOf } from "../../streams/partition.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, bytes, connectTo, type TestConnection, text } from "./support.ts";

const PARTITIONS = 4;
const owner = {};

let nats: TestNats;
let connection: TestConnection;
let mailbox: NatsMailbox;
/** A device of its own for each test. */
let device: string;
let devices = 0;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  const layout = { partitions: PARTITIONS, logStreams: 1, replicas: 1, logMaxBytes: 1e8 };
  await reconcile(connection.nc, layout);
  const { appender } = appenderOn(connection);
  mailbox = await NatsMailbox.open(connection, { appender, partitions: PARTITIONS });
});

afterAll(async () => {
  expect(connection?.faults).toEqual([]);
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

beforeEach(() => {
  devices += 1;
  // Not a plain token, so that it has to be encoded in subjects.
  device = `gerät ${devices}.*`;
});

function mail(sequence: number, change: Partial<Mail> = {}): Mail {
  return {
    app: "demo",
    device,
    sequence,
    messageId: `nachricht ${sequence} ✉`,
    business: "chat.eu",
    acceptedAtMs: 1_700_000_000_000,
    expiresAtMs: Date.now() + 60_000,
    message: bytes(`message ${sequence}`),
    ...change,
  };
}

function put(one: Mail): Promise<number | HoldfastError> {
  return new Promise((resolve) => mailbox.put(one, { owner, stored: resolve, refused: resolve }));
}

async function placeOf(one: Mail): Promise<number> {
  const place = await put(one);
  if (typeof place !== "number") throw place;
  return place;
}

async function list(): Promise<MailHeader[]> {
  const all: MailHeader[] = [];
  for await (const page of mailbox.list(partitionOf("demo", device, PARTITIONS))) all.push(...page);
  return all.filter((header) => header.device === device);
}

async function load(...places: number[]): Promise<[number, string][]> {
  const found = await mailbox.load("demo", device, places);
  return Array.from(found, ([sequence, { message }]) => [sequence, text(message)]);
}

const purge = (places: number[]) => mailbox.purge("demo", device, places);

describe("the mailbox", () => {
  test("tells what is in it without the messages", async () => {
    const one = mail(1_790_000_000_000_001);
    const mailedAs = await placeOf(one);
    const { message, ...header } = one;
    expect(await list()).toEqual([{ ...header, mailedAs, bytes: message.length }]);
  });

  test("lists thousands of messages, each once", async () => {
    const count = 2_500;
    const stored = Array.from({ length: count }, (_, i) => put(mail(i + 1)));
    await Promise.all(stored);
    const sequences = (await list()).map(({ sequence }) => sequence);
    expect(sequences).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  });

  test("gives a device's messages by their places, and no other device's", async () => {
    const places: number[] = [];
    for (let sequence = 1; sequence <= 3; sequence++) places.push(await placeOf(mail(sequence)));
    const others = await placeOf(mail(4, { device: `${device} other` }));
    expect(await load(places[1]!, others, places[2]!)).toEqual([
      [2, "message 2"],
      [3, "message 3"],
    ]);
  });

  test("has nothing where nothing is", async () => {
    const place = await placeOf(mail(1));
    await purge([place]);
    expect(await load(place)).toEqual([]);
    expect(await list()).toEqual([]);
  });

  test("deletes what is at places, and minds nothing that is gone already", async () => {
    const places: number[] = [];
    for (let sequence = 1; sequence <= 4; sequence++) places.push(await placeOf(mail(sequence)));
    await purge([places[1]!]);
    await purge([places[1]!, places[3]!]);
    expect((await list()).map(({ sequence }) => sequence)).toEqual([1, 3]);
  });

  test("deletes nothing of another device that has the place by now, whether it was seen there before or not", async () => {
    const place = await placeOf(mail(1));
    const other = `${device} other`;
    await mailbox.purge("demo", other, [place]);
    const unseen = await NatsMailbox.open(connection, {
      appender: appenderOn(connection).appender,
      partitions: PARTITIONS,
    });
    await unseen.purge("demo", other, [place]);
    expect(await load(place)).toEqual([[1, "message 1"]]);
    await unseen.purge("demo", device, [place]);
    expect(await load(place)).toEqual([]);
  });

  test("stores once what two owners store, and says where", async () => {
    const another = await NatsMailbox.open(connection, {
      appender: appenderOn(connection).appender,
      partitions: PARTITIONS,
    });
    const one = mail(1);
    const place = await placeOf(one);
    const again = await new Promise((resolve) =>
      another.put(one, { owner, stored: resolve, refused: resolve }),
    );
    expect(again).toBe(place);
    expect(await list()).toHaveLength(1);
  });

  test("lets messages go when their time is over", async () => {
    const first = await placeOf(mail(1, { expiresAtMs: Date.now() + 1_000 }));
    const second = await placeOf(mail(2));
    await eventually("the first is gone", async () => (await list()).length === 1);
    expect(await load(first, second)).toEqual([[2, "message 2"]]);
    await purge([first]);
  });

  test("refuses what does not fit any more, and keeps what it has", async () => {
    const jsm = await jetstreamManager(connection.nc);
    const { config } = await jsm.streams.info(MAIL_STREAM);
    await jsm.streams.update(MAIL_STREAM, { ...config, max_msgs_per_subject: 2 });
    await placeOf(mail(1));
    await placeOf(mail(2));
    expect(await put(mail(3))).toMatchObject({ code: "exhausted" });
    expect((await list()).map(({ sequence }) => sequence)).toEqual([1, 2]);
    await jsm.streams.update(MAIL_STREAM, config);
    await placeOf(mail(3));
  });
});
