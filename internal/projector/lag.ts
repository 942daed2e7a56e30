import type { Clock } from "../clock/clock.ts";
import type { LogEnd } from "./log-end.ts";

/** Where nothing has come for a while, but somebody is connected who may have said something. */
const QUIET_PROBE_MS = 10_000;

export interface LagOptions {
  partition: number;
  clock: Clock;
  logEnd: LogEnd;
  /** Calls back when this record and all before it are folded. */
  whenAt(sequence: number, reached: () => void): void;
}

/**
 * How far an owner is behind its log, in time: how long it takes from asking for the end of the log until
 * that end is known and folded. A question that waits in the same queue as the records is as late as they
 * are, and no two machines' clocks are compared.
 */
export class Lag {
  readonly #options: LagOptions;
  #probe: { atMs: number } | undefined;
  #probedAt = Number.NEGATIVE_INFINITY;
  #last = 0;
  /** Records have come since the last probe began. */
  #active = true;

  constructor(options: LagOptions) {
    this.#options = options;
  }

  /** How long the oldest record that is not folded has waited, or the last one has. */
  get ms(): number {
    const waiting = this.#probe === undefined ? 0 : this.#now - this.#probe.atMs;
    return Math.max(this.#last, waiting);
  }

  folded(): void {
    this.#active = true;
  }

  /** Every now and then. `connected`: somebody may say something. Who is not, costs nothing. */
  tick(connected: boolean): void {
    if (this.#probe !== undefined) return;
    const quiet = connected && this.#now - this.#probedAt >= QUIET_PROBE_MS;
    if (this.#active || quiet) void this.#ask();
    else this.#last = 0;
  }

  async #ask(): Promise<void> {
    const { partition, logEnd, whenAt } = this.#options;
    const probe = { atMs: this.#now };
    this.#probe = probe;
    this.#probedAt = probe.atMs;
    this.#active = false;
    try {
      const end = await logEnd.of(partition);
      whenAt(end, () => this.#end(this.#now - probe.atMs));
    } catch {
      // Nobody knows. The nodes notice the same by their own records.
      this.#end(0);
      this.#active = true;
    }
  }

  #end(lastMs: number): void {
    this.#probe = undefined;
    this.#last = lastMs;
  }

  get #now(): number {
    return this.#options.clock.monotonic();
  }
}
