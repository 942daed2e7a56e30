import { afterAll, beforeAll, expect, test } from "vitest";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { bytes, connectTo, type TestConnection, text } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;
let messages: NatsMessages;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  messages = new NatsMessages(connection);
});

afterAll(async () => {
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

test("a message reaches every subscriber, and one member of each queue group", async () => {
  const got: string[] = [];
  const subscriptions = [
    messages.subscribe("fan.*", ({ subject, data }) => got.push(`a ${subject} ${text(data)}`)),
    messages.subscribe("fan.*", () => got.push("queue"), { queue: "q" }),
    messages.subscribe("fan.*", () => got.push("queue"), { queue: "q" }),
  ];
  messages.publish("fan.out", bytes("hello"));
  await connection.outbound.flush();
  expect(got.toSorted()).toEqual(["a fan.out hello", "queue"]);
  for (const one of subscriptions) one.stop();
  messages.publish("fan.out", bytes("again"));
  await connection.outbound.flush();
  expect(got).toHaveLength(2);
});

test("a request gets the answer of whoever listens", async () => {
  const service = messages.subscribe("double", (question) =>
    question.respond(bytes(2 * Number(text(question.data)))),
  );
  const answers = [1, 2, 3].map((n) => messages.request("double", bytes(n), 5_000));
  expect((await Promise.all(answers)).map(text)).toEqual(["2", "4", "6"]);
  service.stop();
});

test("a request that nobody listens to fails at once as unavailable", async () => {
  const started = performance.now();
  await expect(messages.request("nobody", bytes(""), 20_000)).rejects.toMatchObject({
    code: "unavailable",
  });
  expect(performance.now() - started).toBeLessThan(10_000);
});

test("a request that is heard and not answered times out", async () => {
  const silent = messages.subscribe("silent", () => {});
  await expect(messages.request("silent", bytes(""), 50)).rejects.toMatchObject({
    code: "timeout",
  });
  silent.stop();
});

test("an answer goes to the reply subject that was published along", async () => {
  const got: string[] = [];
  const subscriptions = [
    messages.subscribe("ask", (question) => question.respond(bytes("answer"))),
    messages.subscribe("my.reply", ({ data }) => got.push(text(data))),
  ];
  messages.publish("ask", bytes(""), "my.reply");
  await eventually("the answer is there", () => got.length > 0);
  expect(got).toEqual(["answer"]);
  for (const one of subscriptions) one.stop();
});

test("a subscriber that throws is reported, and goes on receiving", async () => {
  const got: string[] = [];
  const subscription = messages.subscribe("throws", ({ data }) => {
    got.push(text(data));
    throw new Error("a bug");
  });
  messages.publish("throws", bytes(1));
  messages.publish("throws", bytes(2));
  await connection.outbound.flush();
  expect(got).toEqual(["1", "2"]);
  expect(connection.faults.map((fault) => fault.message)).toEqual([
    "a message on throws was not handled: a bug",
    "a message on throws was not handled: a bug",
  ]);
  subscription.stop();
});

test("what is too large for the server is refused before it can end the connection", async () => {
  const large = new Uint8Array(connection.maxPayload + 1);
  const dropped = messages.dropped;
  messages.publish("large", large);
  expect(messages.dropped).toBe(dropped + 1);
  await expect(messages.request("large", large, 1_000)).rejects.toThrow(/more than the server's/);
  expect(connection.link.connected).toBe(true);
});

test("while the broker is away messages are dropped and requests fail at once; subscriptions come back with it", async () => {
  const got: string[] = [];
  const subscription = messages.subscribe("back", ({ data }) => got.push(text(data)));
  await nats.kill();
  await eventually("the loss is noticed", () => !connection.link.connected);
  messages.publish("back", bytes("lost"));
  await expect(messages.request("double", bytes(1), 60_000)).rejects.toMatchObject({
    code: "unavailable",
  });
  await nats.start();
  await eventually("the connection is back", () => connection.link.connected);
  messages.publish("back", bytes("found"));
  await eventually("it is received", () => got.length > 0);
  expect(got).toEqual(["found"]);
  subscription.stop();
});
