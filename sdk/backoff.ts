export interface Backoff {
  /** The first wait is at most this long. */
  baseMs: number;
  /** No wait is longer. */
  capMs: number;
}

export const DEFAULT_BACKOFF: Backoff = { baseMs: 500, capMs: 30_000 };

/**
 * Full jitter: anything between nothing and a bound that doubles with every attempt. When a node
 * dies, its clients come back spread over the whole bound rather than in waves.
 */
export function backoffDelay(backoff: Backoff, attempt: number, random: () => number): number {
  const bound = Math.min(backoff.capMs, backoff.baseMs * 2 ** attempt);
  return random() * bound;
}
