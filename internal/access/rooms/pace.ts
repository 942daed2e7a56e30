/**
 * How the messages of one channel are gathered: each at once while there are few, and by windows of time
 * when there are many, so that a socket is written to once for all of a window. Pure: times in, times out.
 */
import { type Rate, refilled } from "../../clock/token-bucket.ts";

/** Up to this rate each message goes at once. */
const AT_ONCE: Rate = { perSecond: 20, burst: 10 };
const LEAST_WINDOW_MS = 20;
const MOST_WINDOW_MS = 200;

export interface Pace {
  /** How many messages may still go at once; below 0 when there were more than that. */
  readonly tokens: number;
  /** When that was true. */
  readonly atMs: number;
  readonly windowMs: number;
}

export function newPace(nowMs: number): Pace {
  return { tokens: AT_ONCE.burst, atMs: nowMs, windowMs: LEAST_WINDOW_MS };
}

/** After a message, of whatever size. */
export function afterMessage(pace: Pace, nowMs: number): Pace {
  const tokens = refilled(pace.tokens, nowMs - pace.atMs, AT_ONCE) - 1;
  return { ...pace, tokens: Math.max(tokens, -AT_ONCE.burst), atMs: nowMs };
}

/** How long what has come may wait for more: 0 means that it goes at once. */
export function waitMs({ tokens, windowMs }: Pace): number {
  return tokens >= 0 ? 0 : windowMs;
}

/**
 * After all members were served, which took so long. The window grows when that takes up much of it, and
 * shrinks when there is time to spare.
 */
export function afterRound(pace: Pace, tookMs: number): Pace {
  const { windowMs } = pace;
  if (tookMs > windowMs / 2) return { ...pace, windowMs: Math.min(MOST_WINDOW_MS, windowMs * 2) };
  if (tookMs < windowMs / 8) return { ...pace, windowMs: Math.max(LEAST_WINDOW_MS, windowMs / 2) };
  return pace;
}
