/** Keeps one nats-server running: starts it again, with growing pauses, whenever it dies. */

import { setTimeout as sleep } from "node:timers/promises";
import { HoldfastError } from "../status/errors.ts";
import type { Exit, NatsProcess } from "./nats-process.ts";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** A server that lived this long did not die of its start, so the pauses begin anew. */
const STABLE_AFTER_MS = 10_000;

export type SupervisorEvent =
  | ({ readonly kind: "exited"; readonly restartInMs: number } & Exit)
  | { readonly kind: "restarted"; readonly pid: number }
  | { readonly kind: "restart-failed"; readonly error: HoldfastError; readonly retryInMs: number };

/** Starts a server and waits until it is ready, unless the signal tells it to give up. */
type Launch = (signal?: AbortSignal) => Promise<NatsProcess>;

export class Supervisor implements AsyncDisposable {
  readonly #launch: Launch;
  readonly #onEvent: (event: SupervisorEvent) => void;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #current: NatsProcess;

  /** Waits for the first start, and throws what it throws: only later deaths are mended. */
  static async start(
    launch: Launch,
    onEvent: (event: SupervisorEvent) => void,
  ): Promise<Supervisor> {
    return new Supervisor(await launch(), launch, onEvent);
  }

  private constructor(
    first: NatsProcess,
    launch: Launch,
    onEvent: (event: SupervisorEvent) => void,
  ) {
    this.#current = first;
    this.#launch = launch;
    this.#onEvent = onEvent;
    this.#watching = this.#watch();
  }

  /** The running server, or the last one while a new one is being started. */
  get current(): NatsProcess {
    return this.#current;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#current.stop();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    for (;;) {
      const startedAt = performance.now();
      const exit = await this.#current.exited;
      if (this.#stopping.signal.aborted) return;
      if (performance.now() - startedAt > STABLE_AFTER_MS) pause = FIRST_PAUSE_MS;
      this.#onEvent({ kind: "exited", ...exit, restartInMs: pause });
      pause = await this.#restart(pause);
      if (this.#stopping.signal.aborted) return;
    }
  }

  /** Tries until a server runs or nobody wants one; returns the pause before the next try. */
  async #restart(firstPause: number): Promise<number> {
    const { signal } = this.#stopping;
    for (let pause = firstPause; ; ) {
      const nextPause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      try {
        await sleep(pause, undefined, { signal });
        this.#current = await this.#launch(signal);
        if (signal.aborted) await this.#current.stop();
        else this.#onEvent({ kind: "restarted", pid: this.#current.pid });
        return nextPause;
      } catch (reason) {
        if (signal.aborted) return nextPause;
        const error = HoldfastError.from(reason);
        this.#onEvent({ kind: "restart-failed", error, retryInMs: nextPause });
        pause = nextPause;
      }
    }
  }
}
