/**
 * The whole system on this machine: each role in a process of its own, one nats-server, the clients in
 * two more processes.
 *
 * - logins: from the opening of the socket to Welcome, counted at the clients; "routed" is when the
 *   route table has them all
 * - RSS of the access worker for each logged-in, idle connection
 * - messages that JetStream stores for one login: in all streams and buckets
 * - push: from the call of PushToDevices to the message at the client, one at a time on an idle system
 *
 *     npm run bench -- system [connections] [--json FILE]
 */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "hdr-histogram-js";
import { connectClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { admit, call } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { Child } from "./support/child.ts";
import { residentBytes } from "./support/cpu.ts";
import { startForBench } from "./support/deployment.ts";
import { MessageCounts } from "./support/message-counts.ts";
import { printSetting, report, writeJson } from "./support/report.ts";
import type { Swarm } from "./support/swarm.ts";
import { deviceNames, mint } from "./support/tokens.ts";

const TARGET = { bytesEach: 10 * 1_024, loginsPerSecond: 1_500, pushP99Ms: 10 };
const WARM_UP = 500;
const PUSHES = 1_000;
const PUSH_EVERY_MS = 5;
const { values, positionals } = parseArgs({
  options: { json: { type: "string" } },
  allowPositionals: true,
});
const connections = Number(positionals[0] ?? 15_000);

await using nats = await testNats();
await using deployment = await startForBench(nats);
await using one = new Child<Swarm>("./swarm.ts");
await using two = new Child<Swarm>("./swarm.ts");
const [worker] = deployment.access;
if (worker === undefined) throw new Error("no access node");
const port = Number(new URL(worker.wsUrl).port);
printSetting();

const tokens = await mint(nats.url, deviceNames("device", connections));
// What runs is compiled and its heap grown before the idle worker is measured.
await open(one, 0, Math.min(WARM_UP, connections));
await one.ask("close", null);
await online(0);
await delay(2_000);
const idle = rss();
const messages = await MessageCounts.open(nats.url);

const started = performance.now();
const half = Math.floor(connections / 2);
await Promise.all([open(one, 0, half), open(two, half, connections)]);
const welcomed = performance.now() - started;
await online(connections);
const routed = performance.now() - started;
await delay(3_000);
const each = (rss() - idle) / connections;
await messages.report(`${connections} logins`, connections);
const rate = (connections / welcomed) * 1_000;
report("logins welcomed at the clients", `${Math.round(rate)}/s`, rate >= TARGET.loginsPerSecond);
report("all routed after", `${(routed / 1_000).toFixed(2)} s`, true);
report(
  `RSS of the access worker for each of ${connections}`,
  `${Math.round(each)} bytes`,
  each <= TARGET.bytesEach,
);

const latency = await pushLatency();
const p99 = latency.getValueAtPercentile(99) / 1_000;
report(
  `push to one of ${connections}, call to client, ${PUSHES} calls`,
  `p50 ${(latency.getValueAtPercentile(50) / 1_000).toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`,
  p99 < TARGET.pushP99Ms,
);

writeJson(values.json, { nats: messages.serverVersion });
await messages[Symbol.asyncDispose]();

async function open(swarm: Child<Swarm>, from: number, to: number): Promise<void> {
  const own = { firstDevice: from, count: to - from, tokens: tokens.slice(from, to) };
  await swarm.ask("openLoggedIn", { port, room: null, ...own });
}

/** Waits until the route table has this many. */
async function online(count: number): Promise<void> {
  const method = "holdfast.directory.v1.DirectoryService/ListNodes";
  type Answer = { nodes: { connections: number }[] };
  const routed = async () => {
    const { nodes } = await call<Answer>(deployment.pushUrl, method, { app: "demo" });
    return nodes[0]?.connections === count;
  };
  await eventually(`${count} are routed`, routed, { withinMs: 60_000, everyMs: 50 });
}

/** Resident bytes of the access worker. */
function rss(): number {
  return residentBytes(worker?.process.child.pid ?? 0);
}

/** In microseconds. */
async function pushLatency() {
  const { token } = await admit(deployment.controlUrl, "measured");
  await using client = await connectClient({ url: worker?.wsUrl ?? "", encoding: "proto" });
  client.send({ login: { token } });
  await client.next("welcome");
  const message = { business: "bench", text: "x".repeat(100) };
  const histogram = build();
  for (let i = 0; i < PUSHES + 100; i++) {
    const calledAt = performance.now();
    const answered = call(deployment.pushUrl, "holdfast.push.v1.PushService/PushToDevices", {
      app: "demo",
      devices: ["measured"],
      message,
    });
    await client.next("push");
    if (i >= 100) histogram.recordValue(Math.round((performance.now() - calledAt) * 1_000));
    await answered;
    await delay(PUSH_EVERY_MS);
  }
  return histogram;
}
