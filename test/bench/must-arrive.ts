/**
 * Must-arrive messages through the whole system on this machine: each role in a process of its own,
 * one nats-server, the clients in another process.
 *
 * - throughput: accepted, delivered and acknowledged, as fast as it goes
 * - latency: from the call of PushToDevices to the client's handler, at 1,000 messages a second
 * - drain: 100,000 messages wait in 10,000 mailboxes; all of their devices log in at once
 *
 *     node test/bench/must-arrive.ts [seconds]
 */
import { setTimeout as delay } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { Delivery, PushService, Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { eventually } from "../support/eventually.ts";
import { admit, DEV_KEY } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { connectToNats } from "../support/nats-connection.ts";
import { Child } from "./support/child.ts";
import { startForBench } from "./support/deployment.ts";
import type { MustArriveClients } from "./support/must-arrive-clients.ts";
import { printSetting, report } from "./support/report.ts";
import { deviceNames, mint } from "./support/tokens.ts";

const TARGET = { perSecond: 5_000, p99Ms: 50, drainSeconds: 60 };
const seconds = Number(process.argv[2] ?? 15);

const DEVICES = 2_000;
const CALLS_AT_ONCE = 8;
const DEVICES_A_CALL = 50;
const LATENCY = { perSecond: 1_000, devicesACall: 10 };
const WAITING = { devices: 10_000, messagesEach: 10, devicesACall: 1_000 };

await using nats = await testNats();
await using deployment = await startForBench(nats);
await using clients = new Child<MustArriveClients>("./must-arrive-clients.ts");
const push = pushClient();
const { endpoints } = await admit(deployment.controlUrl, "anyone");
const tcp = endpoints.find(({ protocol }) => protocol === "tcp");
const port = Number(new URL(tcp?.url ?? "").port);
printSetting();

const devices = deviceNames("busy", DEVICES);
await clients.ask("open", { port, tokens: await mint(nats.url, devices) });

const accepted = await asFastAsItGoes();
report(
  `accepted, delivered and acknowledged, ${DEVICES} devices`,
  `${Math.round(accepted.perSecond)}/s (${accepted.count} in ${accepted.seconds.toFixed(1)} s)`,
  accepted.perSecond >= TARGET.perSecond && accepted.outOfOrder === 0,
);

const { p50Ms, p99Ms } = await atEvenPace();
report(
  `call to handler at ${LATENCY.perSecond}/s`,
  `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`,
  p99Ms <= TARGET.p99Ms,
);
await clients.ask("close", null);

const drained = await drain();
report(
  `${WAITING.devices * WAITING.messagesEach} messages waiting in ${WAITING.devices} mailboxes, delivered after`,
  `${drained.seconds.toFixed(1)} s from the first login, ${drained.outOfOrder} out of order`,
  drained.seconds <= TARGET.drainSeconds && drained.outOfOrder === 0,
);

async function asFastAsItGoes() {
  const startedAt = performance.now();
  let count = 0;
  let next = 0;
  const lane = async () => {
    while (performance.now() - startedAt < seconds * 1_000) {
      const targets = devices.slice(next, next + DEVICES_A_CALL);
      next = (next + DEVICES_A_CALL) % DEVICES;
      const taken = await send(targets, "0");
      count += taken;
    }
  };
  await Promise.all(Array.from({ length: CALLS_AT_ONCE }, lane));
  const { outOfOrder } = await clients.ask("receive", { count });
  const took = (performance.now() - startedAt) / 1_000;
  return { count, outOfOrder, seconds: took, perSecond: count / took };
}

async function atEvenPace() {
  const { perSecond, devicesACall } = LATENCY;
  const calls = (perSecond / devicesACall) * seconds;
  const everyMs = (1_000 * devicesACall) / perSecond;
  const startedAt = performance.now();
  const counts: Promise<number>[] = [];
  for (let call = 0; call < calls; call++) {
    await delay(Math.max(0, startedAt + call * everyMs - performance.now()));
    const from = (call * devicesACall) % DEVICES;
    const sentAt = performance.timeOrigin + performance.now();
    counts.push(send(devices.slice(from, from + devicesACall), String(sentAt)));
  }
  const count = (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
  return clients.ask("receive", { count });
}

async function drain() {
  const away = deviceNames("away", WAITING.devices);
  const tokens = await mint(nats.url, away);
  let count = 0;
  for (let round = 0; round < WAITING.messagesEach; round++) {
    for (let from = 0; from < away.length; from += WAITING.devicesACall) {
      const taken = await send(away.slice(from, from + WAITING.devicesACall), "0");
      count += taken;
    }
  }
  await inMailboxes(count);
  const startedAt = performance.now();
  const all = clients.ask("receive", { count });
  await clients.ask("open", { port, tokens });
  const { outOfOrder } = await all;
  return { seconds: (performance.now() - startedAt) / 1_000, outOfOrder };
}

async function send(targets: string[], text: string): Promise<number> {
  const { results } = await push.pushToDevices({
    app: "demo",
    devices: targets,
    message: { business: "bench", payload: { case: "text", value: text } },
    options: { delivery: Delivery.MUST_ARRIVE },
  });
  return results.filter(({ status }) => status === Status.ACCEPTED).length;
}

async function inMailboxes(count: number): Promise<void> {
  await using connection = await connectToNats(nats.url);
  const jsm = await jetstreamManager(connection.nc);
  const waiting = async () => (await jsm.streams.info("HF_MAIL")).state.messages === count;
  await eventually("all are in the mailboxes", waiting, { withinMs: 120_000, everyMs: 200 });
}

function pushClient(): Client<typeof PushService> {
  return createClient(
    PushService,
    createConnectTransport({
      baseUrl: deployment.pushUrl,
      httpVersion: "2",
      interceptors: [
        (next) => (request) => {
          request.header.set("Authorization", `Bearer ${DEV_KEY}`);
          return next(request);
        },
      ],
    }),
  );
}
