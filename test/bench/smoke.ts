/** `npm run bench:smoke`: the benches of the gateway's foundation, one after the other. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { tied } from "../support/tied.ts";

const BENCHES = [
  ["log publisher", "appender.ts"],
  ["fold", "fold.ts"],
  ["room fan-out against a bare server", "fanout.ts"],
  ["memory of idle connections, role level", "idle-memory.ts"],
  ["logins, memory and push latency of the whole system", "system.ts"],
] as const;

for (const [what, file] of BENCHES) {
  console.log(`\n## ${what} (node test/bench/${file})`);
  const bench = tied(spawn(process.execPath, [`test/bench/${file}`], { stdio: "inherit" }));
  const [code] = await once(bench, "exit");
  if (code !== 0) process.exitCode = 1;
}
