/** Must-arrive messages as a business server and a person with a WebSocket tool meet them. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { push } from "../support/api.ts";
import { eventually } from "../support/eventually.ts";
import {
  admit,
  call,
  DEV_KEY,
  type GatewayProcess,
  ready,
  startGateway,
} from "../support/gateway.ts";
import { type JsonClient, loginJson } from "../support/json-client.ts";

const run = promisify(execFile);

let gateway: GatewayProcess;
let controlUrl: string;
let pushUrl: string;

beforeAll(async () => {
  gateway = await startGateway("all");
  controlUrl = await gateway.address("control", "http");
  pushUrl = await gateway.address("push", "http");
  await Promise.all([ready(controlUrl), ready(pushUrl)]);
});
afterAll(() => gateway?.[Symbol.asyncDispose]());

async function join(device: string): Promise<JsonClient> {
  const { token, endpoints } = await admit(controlUrl, device);
  const endpoint = endpoints.find(({ protocol }) => protocol === "websocket");
  return (await loginJson(endpoint!.url, token)).client;
}

interface ShownMessage {
  text: string;
  messageId: string;
  deliverySequence: string;
}

async function next(client: JsonClient, withinMs?: number): Promise<ShownMessage> {
  const { message } = await client.next("push", withinMs);
  return message as ShownMessage;
}

async function mustArrive(
  device: string,
  text: string,
  { messageId = "", ttlSeconds = 3_600 } = {},
): Promise<{ messageId: string; status: string }> {
  const method = "holdfast.push.v1.PushService/PushToDevices";
  const answer = await call<{ messageId: string; results: { status: string }[] }>(pushUrl, method, {
    app: "demo",
    devices: [device],
    message: { messageId, business: "test", text },
    options: { delivery: "MUST_ARRIVE", ttlSeconds },
  });
  return { messageId: answer.messageId, status: answer.results[0]!.status };
}

interface ShownDelivery {
  state: string;
  steps: { step: string; node?: string; attempt?: number }[];
}

async function fate(messageId: string): Promise<ShownDelivery> {
  const method = "holdfast.directory.v1.DirectoryService/GetMessage";
  const answer = await call<{ deliveries: ShownDelivery[] }>(pushUrl, method, {
    app: "demo",
    messageId,
  });
  return answer.deliveries[0]!;
}

const untilState = (messageId: string, wanted: string) =>
  eventually(`${messageId} is ${wanted}`, async () => {
    const shown = await fate(messageId);
    return shown.state === wanted && shown;
  });

const WHOLE_WAY = ["accepted", "routed", "written", "acked"];

/** Each who had a hand in it tells for itself, so the last word need not come last. */
const untilWholeWay = (messageId: string) =>
  eventually(`${messageId} has gone its way`, async () => {
    const { steps } = await fate(messageId);
    return steps.length >= WHOLE_WAY.length && steps;
  });

test("a message for a connected device arrives, and every step of its way can be asked for", async () => {
  using client = await join("online");
  const { messageId, status } = await mustArrive("online", "hello");
  expect(status).toBe("ACCEPTED");
  const message = await next(client);
  expect(message).toMatchObject({ text: "hello", messageId });
  client.send({ ack: { deliverySequence: message.deliverySequence } });
  const steps = await untilWholeWay(messageId);
  expect(steps.map(({ step }) => step)).toEqual(WHOLE_WAY);
  expect(steps[1]!.node).toBeTruthy();
});

test("trace prints the whole way of a delivered message with the time of each step", async () => {
  using client = await join("traced");
  const { messageId } = await mustArrive("traced", "hello");
  const { deliverySequence } = await next(client);
  client.send({ ack: { deliverySequence } });
  await untilWholeWay(messageId);
  const args = ["cmd/holdfast.ts", "trace", messageId, "--url", pushUrl, "--key", DEV_KEY];
  const { stdout } = await run(process.execPath, args);
  const [head, ...steps] = stdout.trim().split("\n");
  expect(head).toBe(`traced: DELIVERED, delivery ${deliverySequence}, business test`);
  expect(steps.map((line) => line.trim())).toEqual([
    expect.stringMatching(/^[\d:.]{12} {2}accepted$/),
    expect.stringMatching(/^\+\d+ ms {2}routed +node \S+, connection \S+, attempt 1$/),
    expect.stringMatching(/^\+\d+ ms {2}written +node /),
    expect.stringMatching(/^\+\d+ ms {2}acked +node /),
    expect.stringMatching(/^\d+ ms {2}in all$/),
  ]);
  await expect(run(process.execPath, args.with(2, "nobody-sent-this"))).rejects.toThrow(/no such/);
});

test("200 messages accepted while a device is away arrive in order when it comes, and never again", async () => {
  const texts = Array.from({ length: 200 }, (_, i) => `message ${i}`);
  for (const text of texts) {
    expect((await mustArrive("away", text)).status).toBe("ACCEPTED");
  }
  const last = await mustArrive("away", "the last");
  await untilState(last.messageId, "WAITING");

  {
    using client = await join("away");
    const got: ShownMessage[] = [];
    while (got.length < 201) {
      const message = await next(client);
      got.push(message);
      // One acknowledgement for many.
      if (got.length % 20 === 0)
        client.send({ ack: { deliverySequence: message.deliverySequence } });
    }
    expect(got.map(({ text }) => text)).toEqual([...texts, "the last"]);
    client.send({ ack: { deliverySequence: got.at(-1)!.deliverySequence } });
    await untilState(last.messageId, "DELIVERED");
  }

  using client = await join("away");
  const { messageId } = await mustArrive("away", "a new one");
  const message = await next(client);
  expect(message.messageId).toBe(messageId);
});

test("a client that does not acknowledge is sent the message again, and under the same sequence after it came back", async () => {
  const first = await (async () => {
    using client = await join("deaf");
    await mustArrive("deaf", "one");
    await mustArrive("deaf", "two");
    const [one, two] = [await next(client), await next(client)];
    expect([one.text, two.text]).toEqual(["one", "two"]);
    // The first retry comes after 2 s.
    const again = [await next(client), await next(client)];
    expect(again).toEqual([one, two]);
    return [one, two];
  })();
  using client = await join("deaf");
  expect([await next(client), await next(client)]).toEqual(first);
});

test("a message whose time is over is not sent any more, and is said to have expired", async () => {
  const { messageId } = await mustArrive("late", "too late", { ttlSeconds: 1 });
  const { steps } = await untilState(messageId, "EXPIRED");
  expect(steps.at(-1)!.step).toBe("expired");
  using client = await join("late");
  const fresh = await mustArrive("late", "in time");
  expect((await next(client)).messageId).toBe(fresh.messageId);
});

test("a message id that was accepted before is a duplicate, and is not sent twice", async () => {
  using client = await join("twice");
  expect((await mustArrive("twice", "once", { messageId: "order-1" })).status).toBe("ACCEPTED");
  expect((await mustArrive("twice", "again", { messageId: "order-1" })).status).toBe("DUPLICATE");
  await mustArrive("twice", "another");
  expect([(await next(client)).text, (await next(client)).text]).toEqual(["once", "another"]);
});

test("an urgent message arrives once", async () => {
  using client = await join("urgent");
  await push(pushUrl, "Devices", ["urgent"], "alarm", { priority: "HIGH" });
  await push(pushUrl, "Devices", ["urgent"], "all clear");
  expect([(await next(client)).text, (await next(client)).text]).toEqual(["alarm", "all clear"]);
});
