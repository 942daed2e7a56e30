/**
 * Server CPU for each delivery of one message to a room, against a bare `net` server that writes
 * the same bytes to as many sockets, in the same run. Role level: the bus is faked; the clients are
 * in processes of their own, and only the servers' CPU (user and system) is counted.
 *
 *     node test/bench/fanout.ts [members]
 */
import { setTimeout as delay } from "node:timers/promises";
import type { AccessServer } from "./support/access-server.ts";
import type { BareServer } from "./support/bare-server.ts";
import { Child } from "./support/child.ts";
import { median, printSetting } from "./support/report.ts";
import type { Swarm } from "./support/swarm.ts";

const TARGET_RATIO = 1.15;
const ROUNDS = 7;
const MESSAGES = 20;
const members = Number(process.argv[2] ?? 10_000);
const text = "x".repeat(100);

await using gateway = new Child<AccessServer>("./access-server.ts");
await using bare = new Child<BareServer>("./bare-server.ts");
await using gatewayClients = new Child<Swarm>("./swarm.ts");
await using bareClients = new Child<Swarm>("./swarm.ts");

const { port: gatewayPort } = await gateway.ask("listen", null);
const { port: barePort } = await bare.ask("listen", null);
const room = { port: gatewayPort, count: members, firstDevice: 0, room: "bench" };
await gatewayClients.ask("openLoggedIn", room);
await bareClients.ask("openBare", { port: barePort, count: members });

// What one delivery takes on the wire; sent twice, so that everything is compiled and grown.
await deliverOne();
const bytes = await deliverOne();

async function deliverOne(): Promise<number> {
  const before = await gateway.ask("bytesOut", null);
  await gateway.ask("publish", { text });
  let sent = 0;
  // Members are served over several turns: until nothing more is written.
  for (let last = -1; sent !== last; await delay(200)) {
    last = sent;
    sent = (await gateway.ask("bytesOut", null)).bytes - before.bytes;
  }
  await gatewayClients.ask("receive", { bytes: sent });
  return sent / members;
}

/** Microseconds of server CPU for each delivery. */
async function gatewayRound(): Promise<number> {
  const before = await gateway.ask("cpu", null);
  for (let i = 0; i < MESSAGES; i += 1) {
    const all = gatewayClients.ask("receive", { bytes: members * bytes });
    await gateway.ask("publish", { text });
    await all;
  }
  const after = await gateway.ask("cpu", null);
  return (after.micros - before.micros) / (MESSAGES * members);
}

async function bareRound(): Promise<number> {
  const before = await bare.ask("cpu", null);
  for (let i = 0; i < MESSAGES; i += 1) {
    const all = bareClients.ask("receive", { bytes: members * bytes });
    await bare.ask("publish", { bytes });
    await all;
  }
  const after = await bare.ask("cpu", null);
  return (after.micros - before.micros) / (MESSAGES * members);
}

printSetting();
console.log(`one message of ${bytes} bytes on the wire to ${members} members`);
const ratios: number[] = [];
const costs: [number, number][] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  const bareMicros = await bareRound();
  const gatewayMicros = await gatewayRound();
  costs.push([bareMicros, gatewayMicros]);
  ratios.push(gatewayMicros / bareMicros);
}
const bareMedian = median(costs.map(([micros]) => micros));
const gatewayMedian = median(costs.map(([, micros]) => micros));
console.log(
  `CPU for each delivery: bare ${bareMedian.toFixed(2)} µs, gateway ${gatewayMedian.toFixed(2)} µs`,
);
console.log(
  `ratio ${median(ratios).toFixed(2)} (median of ${ROUNDS} rounds, target ${TARGET_RATIO})`,
);
process.exitCode = median(ratios) <= TARGET_RATIO ? 0 : 1;
