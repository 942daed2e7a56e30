import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldfastError } from "../status/errors.ts";
import { isRunning, type ProcessRecord, readRecord } from "./process-record.ts";

const END_WITHIN_MS = 5_000;
const LOOK_EVERY_MS = 20;

/** Ends the server that a killed gateway left behind, if it still runs: two must not share a store. */
export async function stopLeftover(recordFile: string): Promise<void> {
  const leftover = await readRecord(recordFile);
  if (leftover === undefined) return;
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (await endedAfter(leftover, signal)) {
      await rm(recordFile, { force: true });
      return;
    }
  }
  throw new HoldfastError(
    "conflict",
    `a nats-server of an earlier run (process ${leftover.pid}) cannot be ended`,
  );
}

async function endedAfter(leftover: ProcessRecord, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isRunning(leftover))) return true;
  try {
    process.kill(leftover.pid, signal);
  } catch {
    // Gone in this moment, or not ours to end; the loop tells which.
  }
  const giveUpAt = performance.now() + END_WITHIN_MS;
  while (performance.now() < giveUpAt) {
    if (!(await isRunning(leftover))) return true;
    await sleep(LOOK_EVERY_MS);
  }
  return false;
}
