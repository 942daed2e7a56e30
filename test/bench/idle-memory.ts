/**
 * RSS of an access node for each logged-in, idle WebSocket connection. Role level: the log, the bus
 * and the verifier are faked; the clients are in processes of their own.
 *
 *     node test/bench/idle-memory.ts [connections]
 */

import type { AccessServer } from "./support/access-server.ts";
import { Child } from "./support/child.ts";
import { printSetting } from "./support/report.ts";
import type { Swarm } from "./support/swarm.ts";

/** From design section 7 and the issue: at most this much above the idle worker. */
const TARGET_BYTES = 10 * 1_024;
const connections = Number(process.argv[2] ?? 15_000);
const WARM_UP = 500;

await using server = new Child<AccessServer>("./access-server.ts", { execArgv: ["--expose-gc"] });
await using one = new Child<Swarm>("./swarm.ts");
await using two = new Child<Swarm>("./swarm.ts");

const { port } = await server.ask("listen", null);
// The code that runs is compiled and its heap grown before the idle worker is measured.
await one.ask("openLoggedIn", { port, count: WARM_UP, firstDevice: 0, room: null });
await one.ask("close", null);
const idle = await server.ask("rss", null);

const half = Math.floor(connections / 2);
const started = performance.now();
await Promise.all([
  one.ask("openLoggedIn", { port, count: half, firstDevice: 0, room: null }),
  two.ask("openLoggedIn", { port, count: connections - half, firstDevice: half, room: null }),
]);
const seconds = (performance.now() - started) / 1_000;
const full = await server.ask("rss", null);

printSetting();
const each = (full.bytes - idle.bytes) / full.sessions;
const mebibytes = (bytes: number) => (bytes / 1_048_576).toFixed(1);
console.log(`${full.sessions} sessions, logged in at ${Math.round(full.sessions / seconds)}/s`);
console.log(`RSS: idle ${mebibytes(idle.bytes)} MiB, full ${mebibytes(full.bytes)} MiB`);
console.log(`${Math.round(each)} bytes for each connection (target ${TARGET_BYTES})`);
process.exitCode = each <= TARGET_BYTES ? 0 : 1;
