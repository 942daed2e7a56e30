import { Worker } from "node:worker_threads";
import type { ConnectOptions } from "../bus/connect.ts";
import { type Clock, systemClock, type Timer } from "../clock/clock.ts";
import type { Heartbeat } from "./heartbeat.ts";

/** What the worker is given at its start. */
export interface HeartbeatWork {
  connect: Pick<ConnectOptions, "urls" | "name" | "credsFile" | "login">;
  /** One Int32 that grows whenever the main loop moves. */
  steps: SharedArrayBuffer;
  beat: Uint8Array | undefined;
}

/** What the worker says: something about NATS that a person may want to know. */
export interface HeartbeatReport {
  why: string;
}

const RESTART_MS = 1_000;

/** Beats from a worker thread, over a connection of its own. */
export class WorkerHeartbeat implements Heartbeat, AsyncDisposable {
  readonly #connect: HeartbeatWork["connect"];
  readonly #warn: (why: string) => void;
  readonly #clock: Clock;
  readonly #steps = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  #beat: Uint8Array | undefined;
  #worker: Worker;
  #restart: Timer | undefined;
  #stopped = false;

  constructor(
    connect: HeartbeatWork["connect"],
    warn: (why: string) => void,
    clock: Clock = systemClock,
  ) {
    this.#connect = connect;
    this.#warn = warn;
    this.#clock = clock;
    this.#worker = this.#start();
  }

  say(beat: Uint8Array): void {
    this.#beat = beat;
    this.#worker.postMessage(beat);
  }

  moved(): void {
    Atomics.add(this.#steps, 0, 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#restart?.cancel();
    await this.#worker.terminate();
  }

  #start(): Worker {
    const work: HeartbeatWork = {
      connect: this.#connect,
      steps: this.#steps.buffer,
      beat: this.#beat,
    };
    const worker = new Worker(new URL("./heartbeat-worker.ts", import.meta.url), {
      workerData: work,
    });
    worker.unref();
    worker.on("message", ({ why }: HeartbeatReport) => this.#warn(why));
    worker.on("error", (reason) => this.#warn(String(reason)));
    worker.on("exit", () => {
      if (this.#stopped) return;
      this.#warn("the thread has ended; starting another");
      this.#restart = this.#clock.after(RESTART_MS, () => {
        this.#worker = this.#start();
      });
    });
    return worker;
  }
}
