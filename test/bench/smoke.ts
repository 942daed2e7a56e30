/** `npm run bench:smoke`: the benches of the gateway's foundation, one after the other. */
import { spawnSync } from "node:child_process";

const BENCHES = [
  ["log publisher", "appender.ts"],
  ["fold", "fold.ts"],
  ["room fan-out against a bare server", "fanout.ts"],
  ["memory of idle connections, role level", "idle-memory.ts"],
  ["logins, memory and push latency of the whole system", "system.ts"],
] as const;

for (const [what, file] of BENCHES) {
  console.log(`\n## ${what} (node test/bench/${file})`);
  const { status } = spawnSync(process.execPath, [`test/bench/${file}`], { stdio: "inherit" });
  if (status !== 0) process.exitCode = 1;
}
