import type { Clock, Timer } from "../../clock/clock.ts";
import type { EndReason } from "../../status/close.ts";
import type { LoggedConnection } from "./connection-log.ts";

const TICK_MS = 50;

/** How many ends go into the log at once. */
export interface DeparturesPace {
  /** In one tick of 50 ms, while none waits. */
  burst: number;
  /** In each tick, while some wait. */
  perTick: number;
}

const PACE: DeparturesPace = { burst: 250, perTick: 100 };
/** All are written within about so many ticks, 8 s, however many they are. */
const MOST_TICKS = 160;

export interface DeparturesOptions {
  clock: Clock;
  pace?: DeparturesPace | undefined;
  /** Writes it down. */
  write(connection: LoggedConnection, reason: EndReason): void;
}

/**
 * The ends of connections on their way into the log: at once, unless very many come together. When a
 * region's clients vanish in one moment, what follows from each end keeps the log, the projectors and NATS
 * busy for seconds, and those who come back would wait behind it.
 */
export class Departures {
  readonly #options: DeparturesOptions;
  readonly #pace: DeparturesPace;
  readonly #waiting = new Map<LoggedConnection, EndReason>();
  /** The most that have waited since none did. */
  #most = 0;
  #tickAt = Number.NEGATIVE_INFINITY;
  #written = 0;
  #timer: Timer | undefined;

  constructor(options: DeparturesOptions) {
    this.#options = options;
    this.#pace = options.pace ?? PACE;
  }

  /** Those that are not written yet. */
  get waiting(): Iterable<LoggedConnection> {
    return this.#waiting.keys();
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(connection: LoggedConnection, reason: EndReason): void {
    const { clock, write } = this.#options;
    const now = clock.monotonic();
    if (now - this.#tickAt >= TICK_MS) {
      this.#tickAt = now;
      this.#written = 0;
    }
    if (this.#waiting.size === 0 && this.#written < this.#pace.burst) {
      this.#written += 1;
      write(connection, reason);
      return;
    }
    this.#waiting.set(connection, reason);
    this.#most = Math.max(this.#most, this.#waiting.size);
    this.#timer ??= clock.every(TICK_MS, () =>
      this.write(Math.max(this.#pace.perTick, this.#most / MOST_TICKS)),
    );
  }

  /** Writes so many of those that wait. */
  write(count: number): void {
    let left = count;
    for (const [connection, reason] of this.#waiting) {
      if (left <= 0) return;
      left -= 1;
      this.#waiting.delete(connection);
      this.#options.write(connection, reason);
    }
    this.clear();
  }

  /** Forgets those that wait. */
  clear(): void {
    this.#waiting.clear();
    this.#most = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
