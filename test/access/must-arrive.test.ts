import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deliveryFrame } from "../../internal/projector/delivery/frame.ts";
import { CLOSE } from "../../internal/status/close.ts";
import {
  DeliverAnswerSchema,
  DeliverSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { MessageSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { nodePushSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { pushFrame } from "./fakes.ts";
import { startNode, type TestNode } from "./node.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});

afterEach(() => at[Symbol.asyncDispose]());

interface Sent {
  connection: bigint;
  sequence: number;
  after: number;
}

/** Delivers as the owner of a partition does, and gives the places of those not written. */
async function deliver(...all: Sent[]): Promise<number[]> {
  const deliveries = all.map(({ connection, sequence, after }) => {
    const message = create(MessageSchema, { payload: { case: "text", value: `m${sequence}` } });
    const frame = deliveryFrame(toBinary(MessageSchema, message), sequence);
    return { connection, frame, deliverySequence: BigInt(sequence), after: BigInt(after) };
  });
  const payload = toBinary(DeliverSchema, create(DeliverSchema, { deliveries }));
  const answer = await at.messages.request(nodePushSubject("test-1", "lo"), payload, 1_000);
  return fromBinary(DeliverAnswerSchema, answer).unwritten;
}

const acked = () => at.log.entries.filter(({ kind }) => kind === "acked");

/** Larger than 32 bits, as the log's sequences are. */
const FIRST = 1_790_000_000_000_001;

for (const encoding of ["json", "proto"] as const) {
  test(`must-arrive messages come in order, numbered, and are acknowledged together (${encoding})`, async () => {
    const { client, counter } = await at.login({ device: "d1" }, { encoding });
    const three = [0, 1, 2].map((i) => ({
      connection: counter,
      sequence: FIRST + i,
      after: i === 0 ? 0 : FIRST + i - 1,
    }));
    expect(await deliver(...three)).toEqual([]);
    for (const { sequence } of three) {
      const { message } = await client.next("push");
      expect(message?.payload.value).toBe(`m${sequence}`);
      expect(message?.deliverySequence).toBe(BigInt(sequence));
    }
    client.send({ ack: { deliverySequence: BigInt(FIRST + 1) } });
    client.send({ ack: { deliverySequence: BigInt(FIRST + 2) } });
    await eventually("the log hears of it", () => acked().length > 0);
    expect(acked()).toEqual([{ kind: "acked", device: "d1", sequence: FIRST + 2 }]);
  });
}

test("what follows a message that was lost is not written, and the sender is told", async () => {
  const { client, counter } = await at.login();
  expect(await deliver({ connection: counter, sequence: 10, after: 0 })).toEqual([]);
  const late = { connection: counter, sequence: 30, after: 20 };
  expect(await deliver(late, { connection: 99n, sequence: 1, after: 0 })).toEqual([0, 1]);
  expect(await deliver({ ...late, sequence: 20, after: 10 }, late)).toEqual([]);
  const texts = [];
  for (let i = 0; i < 3; i++) texts.push((await client.next("push")).message?.payload.value);
  expect(texts).toEqual(["m10", "m20", "m30"]);
});

test("an acknowledgement of what was never sent is refused, and costs nothing else", async () => {
  const { client, counter } = await at.login({ device: "d1" });
  await deliver({ connection: counter, sequence: 10, after: 0 });
  await client.next("push");
  client.send({ ack: { deliverySequence: 11n } });
  const error = await client.next("error");
  expect(error.code).toBe(CLOSE["bad-frame"].code);
  expect(error.reason).toContain("ack.delivery_sequence");
  client.send({ ack: { deliverySequence: 10n } });
  client.send({ ack: { deliverySequence: 9n } });
  await eventually("the log hears of the good one", () => acked().length > 0);
  expect(acked()).toEqual([{ kind: "acked", device: "d1", sequence: 10 }]);
});

test("the log hears of an acknowledgement before it hears that the connection has ended", async () => {
  const { client, counter } = await at.login({ device: "d1" });
  await deliver({ connection: counter, sequence: 10, after: 0 });
  await client.next("push");
  client.send({ ack: { deliverySequence: 10n } });
  client.send({ logout: {} });
  await eventually("it has ended", () => at.log.ends("d1").length > 0);
  expect(at.log.entries.map(({ kind }) => kind)).toEqual(["opened", "acked", "closed"]);
});

test("a message of high priority that comes twice reaches the client once", async () => {
  const { client, counter } = await at.login();
  const missing = 77n;
  const answers = [];
  for (const [messages, lane] of [
    [at.urgent, "hi"],
    [at.messages, "lo"],
  ] as const) {
    const frame = pushFrame("alarm");
    const twin = { connections: [counter, missing], frame, priority: 1, twin: 5n };
    const payload = toBinary(DeliverSchema, create(DeliverSchema, twin));
    const answer = await messages.request(nodePushSubject("test-1", lane), payload, 1_000);
    answers.push(fromBinary(DeliverAnswerSchema, answer).missing);
  }
  // Whichever answer comes first tells the same.
  expect(answers).toEqual([[missing], [missing]]);
  await deliver({ connection: counter, sequence: 10, after: 0 });
  expect((await client.next("push")).message?.payload.value).toBe("alarm");
  expect((await client.next("push")).message?.payload.value).toBe("m10");
  expect(at.metrics.duplicatesDropped).toBe(1);
});
