/**
 * Asks again and again until the answer is neither undefined, null nor false, and gives it.
 * A thrown error ends it at once.
 */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  options: { withinMs?: number; everyMs?: number } = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const { withinMs = 30_000, everyMs = 20 } = options;
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as NonNullable<Exclude<T, false>>;
    }
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((again) => setTimeout(again, everyMs));
  }
}
