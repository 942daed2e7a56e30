import { setTimeout as delay } from "node:timers/promises";
import type { Member } from "../../support/deployment.ts";

const EVERY_MS = 250;
/** What the process measures with: a timer of so many milliseconds, whose own time counts as lag. */
const RESOLUTION_MS = 10;

/** The longest time that a process's event loop stood still, read from its metrics from now on. */
export class LoopLag implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #reading: Promise<void>;
  worstMs = 0;

  constructor(member: Member, role: string) {
    this.#reading = this.#read(member, role);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(member: Member, role: string): Promise<void> {
    const url = await member.process.address(role, "metrics");
    let first = true;
    while (!this.#stop.signal.aborted) {
      const text = await fetch(`${url}/metrics`)
        .then((response) => response.text())
        .catch(() => "");
      const seconds = /^nodejs_eventloop_lag_max_seconds ([\d.e+-]+)$/m.exec(text)?.[1];
      // The first reading is of all the time before; each begins anew for the next.
      if (!first && seconds !== undefined) {
        this.worstMs = Math.max(this.worstMs, Number(seconds) * 1_000 - RESOLUTION_MS);
      }
      first &&= seconds === undefined;
      await delay(EVERY_MS);
    }
  }
}
