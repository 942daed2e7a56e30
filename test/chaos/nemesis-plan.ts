import type { Random } from "../../internal/clock/clock.ts";
import { exponential, pick, seededRandom, wholeNumber } from "../support/seeded-random.ts";

/** What happens to NATS servers only, see server-faults.ts. */
export type ServerFault = "cut" | "fill" | "restore" | "power-cut";

/** A way to strike some of one kind's victims, or all of them together under one name. */
export interface MoreFaults {
  how: ServerFault;
  victims: readonly string[];
}

export interface Fault {
  /** Milliseconds after the start of the run. */
  atMs: number;
  victim: string;
  /** Killed and started again, held and let go, or worse. */
  how: "kill" | "freeze" | ServerFault;
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
  /** Half of the faults of a kind are of these ways, where it has some. */
  more?: Readonly<Record<string, readonly MoreFaults[]>>;
  /** Between two faults of one kind, on average. Default: 8 s. */
  meanPauseMs?: number;
  /** The longest SIGSTOP. Default: 12 s. */
  longestFreezeMs?: number;
}

const LONGEST_FREEZE_MS = 12_000;
/** A cluster without one of its servers must go on, for longer than an election takes. */
const LONGEST_OUTAGE_MS = 15_000;
const LONGEST_DOWN_MS = 4_000;
/** A cluster needs a moment between two losses to have three copies again. */
const SHORTEST_PAUSE_MS = 3_000;
const SHARE_OF_KILLS = 0.6;
const SHARE_OF_MORE = 0.5;

/** The same faults for the same seed, in the order of their times. */
export function planFaults(options: PlanOptions): Fault[] {
  const random = seededRandom(options.seed);
  const kinds = Object.keys(options.victims).toSorted();
  return kinds
    .flatMap((kind) =>
      faultsOfOneKind(options, options.victims[kind] ?? [], options.more?.[kind] ?? [], random),
    )
    .toSorted((a, b) => a.atMs - b.atMs);
}

function faultsOfOneKind(
  { withinMs, meanPauseMs = 8_000, longestFreezeMs = LONGEST_FREEZE_MS }: PlanOptions,
  victims: readonly string[],
  more: readonly MoreFaults[],
  random: Random,
): Fault[] {
  const faults: Fault[] = [];
  if (victims.length === 0) return faults;
  const pause = () => SHORTEST_PAUSE_MS + exponential(random, meanPauseMs - SHORTEST_PAUSE_MS);
  let atMs = Math.round(pause());
  for (;;) {
    const fault: Fault = { atMs, ...strikeOf(victims, more, longestFreezeMs, random) };
    if (fault.atMs + fault.forMs > withinMs) return faults;
    faults.push(fault);
    atMs = fault.atMs + fault.forMs + Math.round(pause());
  }
}

function strikeOf(
  victims: readonly string[],
  more: readonly MoreFaults[],
  longestFreezeMs: number,
  random: Random,
): Omit<Fault, "atMs"> {
  if (more.length > 0 && random() < SHARE_OF_MORE) {
    const way = pick(random, more);
    const longest = way.how === "power-cut" ? LONGEST_DOWN_MS : LONGEST_OUTAGE_MS;
    const victim = pick(random, way.victims);
    return { how: way.how, victim, forMs: wholeNumber(random, 500, longest) };
  }
  const how = random() < SHARE_OF_KILLS ? "kill" : "freeze";
  const longest = how === "kill" ? LONGEST_DOWN_MS : longestFreezeMs;
  return { how, victim: pick(random, victims), forMs: wholeNumber(random, 500, longest) };
}

const NAMES: Partial<Record<Fault["how"], string>> = { kill: "kill -9", freeze: "SIGSTOP" };

export function describeFault({ atMs, victim, how, forMs }: Fault): string {
  return `${(atMs / 1_000).toFixed(1)} s: ${NAMES[how] ?? how} of ${victim} for ${(forMs / 1_000).toFixed(1)} s`;
}
