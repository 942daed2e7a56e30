/**
 * What a projector and its nats-server cost while nothing happens, in percent of one core, with few and
 * with many partitions (for a nats-server on this machine, on Linux):
 *
 *     node scripts/run.mjs test/bench/idle-projector.ts
 */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../../internal/nats-server/free-port.ts";
import { eventually } from "../support/eventually.ts";
import { startGateway } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";

const SETTLE_MS = 8_000;
const MEASURE_MS = 30_000;
const TICKS_PER_SECOND = 100;

for (const partitions of [16, 256]) {
  await using nats = await testNats();
  const metrics = `127.0.0.1:${await freePort()}`;
  await using projector = await startGateway("projector", {
    HOLDFAST_NATS_URL: nats.url,
    HOLDFAST_PARTITIONS: String(partitions),
    HOLDFAST_METRICS_LISTEN: metrics,
  });
  await eventually("it owns every partition", async () => {
    const text = await fetch(`http://${metrics}/metrics`).then(
      (answer) => answer.text(),
      () => "",
    );
    return text.includes(`holdfast_projector_partitions ${partitions}`);
  });
  await delay(SETTLE_MS);
  const measured = {
    projector: projector.child.pid ?? 0,
    "nats-server": childCalled("nats-server"),
  };
  const before = Object.values(measured).map(cpuSeconds);
  await delay(MEASURE_MS);
  const used = Object.entries(measured).map(([name, pid], i) => {
    const percent = ((cpuSeconds(pid) - (before[i] ?? 0)) * 100_000) / MEASURE_MS;
    return `${name} ${percent.toFixed(1)} %`;
  });
  console.log(`${partitions} partitions: ${used.join(", ")} of a core`);
}

/** A process that this one has started. */
function childCalled(name: string): number {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const { command, parent } = statOf(Number(entry));
    if (command === name && parent === process.pid) return Number(entry);
  }
  throw new Error(`this process has not started ${name}`);
}

/** Of all threads, in user and kernel mode. */
function cpuSeconds(pid: number): number {
  return statOf(pid).ticks / TICKS_PER_SECOND;
}

function statOf(pid: number): { command: string; parent: number; ticks: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" ");
  return {
    command: stat.slice(stat.indexOf("(") + 1, end),
    parent: Number(fields[1]),
    ticks: Number(fields[11]) + Number(fields[12]),
  };
}
