import { setTimeout as sleep } from "node:timers/promises";

const ASK_EVERY_MS = 1_000;

/** Asks until there are no more problems or the time is up; gives the last answer. */
export async function untilSettled(
  withinMs: number,
  problems: () => Promise<string[]>,
): Promise<string[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const left = await problems().catch((error) => [String(error)]);
    if (left.length === 0 || performance.now() > deadline) return left;
    await sleep(ASK_EVERY_MS);
  }
}
