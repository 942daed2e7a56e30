import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import {
  isRunning,
  type ProcessRecord,
  recordOf,
} from "../../internal/nats-server/process-record.ts";
import { eventually } from "./eventually.ts";
import { tied } from "./tied.ts";

const run = promisify(execFile);
const PARENT = join(import.meta.dirname, "deployment-parent.ts");

test("a test worker that is killed takes every process of its deployment along, also one that is held", async () => {
  const parent = tied(spawn(process.execPath, [PARENT], { stdio: ["ignore", "pipe", "inherit"] }));
  await once(createInterface({ input: parent.stdout }), "line");
  const children = await descendants(parent.pid ?? 0);
  // Four roles, two workers, and what watches over them; a nats-server may be in a container.
  expect(children.length).toBeGreaterThanOrEqual(7);

  parent.kill("SIGKILL");
  await eventually(
    "all have ended",
    async () => !(await Promise.all(children.map(isRunning))).includes(true),
    { withinMs: 8_000, everyMs: 100 },
  );
});

/** Children, their children, and so on. */
async function descendants(ancestor: number): Promise<ProcessRecord[]> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid="]);
  const parents = stdout
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const family = new Set([ancestor]);
  for (let size = 0; size !== family.size; ) {
    size = family.size;
    for (const [pid = 0, parent = 0] of parents) if (family.has(parent)) family.add(pid);
  }
  family.delete(ancestor);
  const records = await Promise.all([...family].map(recordOf));
  return records.filter((record) => record !== undefined);
}
