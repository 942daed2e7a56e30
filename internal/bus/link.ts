import type { NatsConnection } from "@nats-io/transport-node";
import type { HoldfastError } from "../status/errors.ts";
import type { Link, Subscription } from "./contract.ts";
import { natsError } from "./nats-errors.ts";

/** Follows the state of one NATS connection. */
export class NatsLink implements Link {
  #connected = true;
  readonly #watchers = new Set<(connected: boolean) => void>();
  readonly #onError: (error: HoldfastError) => void;

  /** `onError`: what the server complains of, such as a missing permission. */
  constructor(nc: NatsConnection, onError: (error: HoldfastError) => void) {
    this.#onError = onError;
    void this.#follow(nc);
  }

  get connected(): boolean {
    return this.#connected;
  }

  watch(changed: (connected: boolean) => void): Subscription {
    const watcher = (connected: boolean) => changed(connected);
    this.#watchers.add(watcher);
    return { stop: () => void this.#watchers.delete(watcher) };
  }

  async #follow(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      switch (status.type) {
        case "reconnect":
          this.#set(true);
          break;
        case "disconnect":
        case "close":
          this.#set(false);
          break;
        case "error":
          this.#onError(natsError("the NATS server reports", status.error));
          break;
      }
    }
    this.#set(false);
  }

  #set(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    for (const watcher of this.#watchers) {
      try {
        watcher(connected);
      } catch (reason) {
        this.#onError(natsError("a watcher of the link failed", reason));
      }
    }
  }
}
