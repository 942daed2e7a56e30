import type { Admission, Admit } from "./admission.ts";
import { type Backoff, backoffDelay } from "./backoff.ts";
import type { Surroundings } from "./surroundings.ts";

/** A token is renewed when this part of the time it had left at first is over. */
const RENEW_AT = 0.75;
/** However the clocks differ, Admit is not asked more often than this. */
const SHORTEST_MS = 5_000;
/** The longest wait that timers can take. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Gets a new admission well before the present one expires, again and again. A failure is tried
 * again with growing waits; when none succeeds, the gateway ends the connection and the SDK gets
 * a new token on that way. Returns the function that stops it.
 */
export function keepTokenFresh(options: {
  admission: Admission;
  admit: Admit;
  surroundings: Surroundings;
  backoff: Backoff;
  refreshed(admission: Admission): void;
}): () => void {
  const { admit, surroundings, backoff, refreshed } = options;
  const stopping = new AbortController();
  let cancel = () => {};

  function schedule(admission: Admission): void {
    const leftMs = admission.expiresAtMs - surroundings.now();
    if (leftMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, leftMs * RENEW_AT));
    cancel = surroundings.after(delayMs, () => void renew(0));
  }

  async function renew(attempt: number): Promise<void> {
    try {
      const admission = await admit(stopping.signal);
      if (stopping.signal.aborted) return;
      refreshed(admission);
      schedule(admission);
    } catch {
      if (stopping.signal.aborted) return;
      const delayMs = SHORTEST_MS + backoffDelay(backoff, attempt, surroundings.random);
      cancel = surroundings.after(delayMs, () => void renew(attempt + 1));
    }
  }

  schedule(options.admission);
  return () => {
    stopping.abort();
    cancel();
  };
}
