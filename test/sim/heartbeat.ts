import { BEAT_EVERY_MS, type Heartbeat, MainLoop } from "../../internal/projector/heartbeat.ts";
import { PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import type { Broker } from "./broker.ts";
import { SimMessages } from "./client.ts";
import { SimConnection } from "./connection.ts";
import type { SimProcess } from "./process.ts";

/** Beats from a thread with a connection of its own: frozen with its process, and not starved with its main loop. */
export class SimHeartbeat implements Heartbeat {
  readonly connection: SimConnection;
  readonly #messages: SimMessages;
  readonly #mainLoop: MainLoop;
  readonly #thread: SimProcess;
  #steps = 0;
  #beat: Uint8Array | undefined;

  constructor(thread: SimProcess, broker: Broker) {
    this.#thread = thread;
    this.connection = new SimConnection(thread, broker);
    this.#messages = new SimMessages(this.connection);
    this.#mainLoop = new MainLoop(thread.clock.monotonic());
    thread.clock.every(BEAT_EVERY_MS, () => this.#send());
  }

  say(beat: Uint8Array): void {
    this.#beat = beat;
    this.#thread.receive(() => this.#send());
  }

  moved(): void {
    this.#steps += 1;
  }

  #send(): void {
    if (this.#beat === undefined) return;
    if (!this.#mainLoop.moves(this.#steps, this.#thread.clock.monotonic())) return;
    this.#messages.publish(PROJECTOR_BEAT_SUBJECT, this.#beat);
  }
}
