import type { Random } from "../../internal/clock/clock.ts";
import { exponential, pick, seededRandom, wholeNumber } from "../support/seeded-random.ts";

export interface Fault {
  /** Milliseconds after the start of the run. */
  atMs: number;
  victim: string;
  /** Killed and started again, or held and let go. */
  how: "kill" | "freeze";
  /** Until it is started or let go. */
  forMs: number;
}

export interface PlanOptions {
  seed: number;
  /** Faults begin and end within this time. */
  withinMs: number;
  /**
   * Names of victims by kind. Of one kind one is down at a time, as promises of a cluster of three or of
   * two nodes go; different kinds fall as they may.
   */
  victims: Readonly<Record<string, readonly string[]>>;
  /** Between two faults of one kind, on average. Default: 8 s. */
  meanPauseMs?: number;
}

const LONGEST_FREEZE_MS = 12_000;
const LONGEST_DOWN_MS = 4_000;
/** A cluster needs a moment between two losses to have three copies again. */
const SHORTEST_PAUSE_MS = 3_000;
const SHARE_OF_KILLS = 0.6;

/** The same faults for the same seed, in the order of their times. */
export function planFaults(options: PlanOptions): Fault[] {
  const random = seededRandom(options.seed);
  const kinds = Object.keys(options.victims).toSorted();
  return kinds
    .flatMap((kind) => faultsOfOneKind(options, options.victims[kind] ?? [], random))
    .toSorted((a, b) => a.atMs - b.atMs);
}

function faultsOfOneKind(
  { withinMs, meanPauseMs = 8_000 }: PlanOptions,
  victims: readonly string[],
  random: Random,
): Fault[] {
  const faults: Fault[] = [];
  if (victims.length === 0) return faults;
  const pause = () => SHORTEST_PAUSE_MS + exponential(random, meanPauseMs - SHORTEST_PAUSE_MS);
  let atMs = Math.round(pause());
  for (;;) {
    const how = random() < SHARE_OF_KILLS ? "kill" : "freeze";
    const longest = how === "kill" ? LONGEST_DOWN_MS : LONGEST_FREEZE_MS;
    const fault: Fault = {
      atMs,
      victim: pick(random, victims),
      how,
      forMs: wholeNumber(random, 500, longest),
    };
    if (fault.atMs + fault.forMs > withinMs) return faults;
    faults.push(fault);
    atMs = fault.atMs + fault.forMs + Math.round(pause());
  }
}

export function describeFault({ atMs, victim, how, forMs }: Fault): string {
  const signal = how === "kill" ? "kill -9" : "SIGSTOP";
  return `${(atMs / 1_000).toFixed(1)} s: ${signal} of ${victim} for ${(forMs / 1_000).toFixed(1)} s`;
}
