import { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { Attempt, type Failure, type UnicastContext } from "./attempt.ts";
import type { PushCounters } from "./counters.ts";
import type { OutgoingMessage } from "./message.ts";

/** A connection that just ended is offline at once; the log needs a moment to show one that moved. */
const RETRY_AFTER_MS = [0, 50];

export interface UnicastOptions extends UnicastContext {
  counters: PushCounters;
  clock?: Clock;
}

/** The first attempt is with the broker when a Sending exists: what is sent later arrives later. */
export interface Sending<T> {
  readonly results: Promise<T>;
}

/** Sends one message to devices, each by way of the node that holds its connection. */
export class Unicast {
  readonly #o: UnicastOptions;
  readonly #clock: Clock;

  constructor(options: UnicastOptions) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * To devices that differ from each other. Results are in their order: SENT, OFFLINE, UNKNOWN, or
   * REFUSED when the broker does not answer.
   */
  async send(
    app: string,
    devices: readonly string[],
    message: OutgoingMessage,
  ): Promise<Sending<Status[]>> {
    const attempt = new Attempt(this.#o, app, devices, message);
    const first = attempt.deliver(await attempt.locate());
    return { results: this.#finish(attempt, first) };
  }

  async #finish(attempt: Attempt, first: Promise<Failure[]>): Promise<Status[]> {
    let failures = await first;
    for (const delayMs of RETRY_AFTER_MS) {
      if (failures.length === 0) break;
      if (delayMs > 0) await this.#sleep(delayMs);
      this.#o.counters.retries += failures.length;
      failures = await attempt.deliver(await attempt.locateAgain(failures));
    }
    for (const { target } of failures) attempt.fail(target, Status.OFFLINE);
    return attempt.statuses;
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(delayMs, resolve));
  }
}
