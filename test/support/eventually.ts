import { patient } from "./patience.ts";

/**
 * Asks again and again until the answer is neither undefined, null nor false, and gives it.
 * A thrown error ends it at once. `withinMs` is for a quiet machine: see patience.ts.
 */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  options: { withinMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const { withinMs = 30_000, everyMs = 20 } = options;
  const patienceMs = patient(withinMs);
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > deadline) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await new Promise((again) => setTimeout(again, everyMs));
  }
}
