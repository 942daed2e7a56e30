import { setTimeout as delay } from "node:timers/promises";

/** CPU time of this process since its start, user and system, in microseconds. */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Resident memory of this process in bytes, after garbage collection (needs --expose-gc). */
export async function settledRss(): Promise<number> {
  for (let i = 0; i < 3; i += 1) {
    globalThis.gc?.();
    await delay(200);
  }
  return process.memoryUsage.rss();
}
