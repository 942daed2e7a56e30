/**
 * Uplinks through the whole system on this machine: each role in a process of its own, one
 * nats-server, the clients in two processes, a business echo server in another. 100 bytes each, from
 * 500 connections.
 *
 * - stream: acknowledged, so stored in HF_UPLINK, while the echo server reads them
 * - request: answered by the echo server over NATS
 * - latency: from the sending to the answer at the client, at 2,000 a second
 * - CPU: of the access process, for each uplink of stream mode
 *
 *     npm run bench -- uplink [seconds]
 */
import { readFileSync } from "node:fs";
import { admit } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { Child } from "./support/child.ts";
import { startForBench } from "./support/deployment.ts";
import { printSetting, report } from "./support/report.ts";
import type { UplinkEcho } from "./support/uplink-echo.ts";
import type { UplinkLoad } from "./support/uplink-load.ts";

const TARGET = { streamRate: 20_000, requestRate: 10_000, p99Ms: 10, streamCpuMicros: 25 };
const CONNECTIONS = 500;
const LOADERS = 2;
const WARM_UP_SECONDS = 5;
const seconds = Number(process.argv[2] ?? 10);

await using nats = await testNats();
await using deployment = await startForBench(nats);
const [worker] = deployment.access;
if (worker === undefined) throw new Error("no access node");
await using one = new Child<UplinkLoad>("./uplink-load.ts");
await using two = new Child<UplinkLoad>("./uplink-load.ts");
await using storing = new Child<UplinkEcho>("./uplink-echo.ts");
await using answering = new Child<UplinkEcho>("./uplink-echo.ts");
printSetting();

const at = { natsUrl: nats.url, pushUrl: deployment.pushUrl };
await storing.ask("serve", { business: "bench_stream", mode: "stream", ...at });
await answering.ask("serve", { business: "bench_request", mode: "request", ...at });
const port = await tcpPort();
await Promise.all([one, two].map((loader, index) => open(loader, index)));

// So that what runs is compiled.
await load("bench_stream", TARGET.streamRate / 2, false, WARM_UP_SECONDS);
await load("bench_request", TARGET.requestRate / 2, true, WARM_UP_SECONDS);
const stream = await load("bench_stream", TARGET.streamRate * 1.1, false);
report("stream: acknowledged", perSecond(stream.rate), stream.rate >= TARGET.streamRate);
const cpu = `${stream.cpuMicros.toFixed(1)} µs`;
report("stream: CPU of the access process each", cpu, stream.cpuMicros < TARGET.streamCpuMicros);
const { count } = await storing.ask("handled", null);
report("stream: handled by the echo server meanwhile", `${count} of ${stream.sent}`, true);
const request = await load("bench_request", TARGET.requestRate * 1.1, true);
report("request: answered", perSecond(request.rate), request.rate >= TARGET.requestRate);
report("request: CPU of the access process each", `${request.cpuMicros.toFixed(1)} µs`, true);
for (const [business, wantReply] of [
  ["bench_stream", false],
  ["bench_request", true],
] as const) {
  const { p50Ms, p99Ms } = await load(business, 2_000, wantReply);
  const figures = `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
  report(`${business.slice("bench_".length)}: at 2,000/s`, figures, p99Ms < TARGET.p99Ms);
}

/** TCP listens on the port that only the process knows. */
async function tcpPort(): Promise<number> {
  const address = await worker?.process.address("access", "tcp");
  return Number(new URL(address ?? "").port);
}

async function open(loader: Child<UplinkLoad>, index: number): Promise<void> {
  const tokens: string[] = [];
  for (let i = 0; i < CONNECTIONS / LOADERS; i += 1) {
    const { token } = await admit(deployment.controlUrl, `bench-${index}-${i}`);
    tokens.push(token);
  }
  await loader.ask("open", { port, tokens });
}

async function load(business: string, rate: number, wantReply: boolean, during = seconds) {
  const before = accessMicros();
  const asked = { business, rate: rate / LOADERS, seconds: during, wantReply };
  const [a, b] = await Promise.all([one.ask("send", asked), two.ask("send", asked)]);
  const sent = a.sent + b.sent;
  const ok = a.ok + b.ok;
  if (ok < sent) console.log(`     ${business}: ${sent - ok} of ${sent} not OK`);
  return {
    sent,
    rate: ok / Math.max(a.seconds, b.seconds),
    cpuMicros: (accessMicros() - before) / sent,
    p50Ms: Math.max(a.p50Ms, b.p50Ms),
    p99Ms: Math.max(a.p99Ms, b.p99Ms),
  };
}

/** CPU time of the access process, in ticks of 10 ms (proc(5), utime and stime). */
function accessMicros(): number {
  const stat = readFileSync(`/proc/${worker?.process.child.pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function perSecond(rate: number): string {
  return `${Math.round(rate).toLocaleString("en")}/s`;
}
