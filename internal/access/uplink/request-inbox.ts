import { randomBytes } from "node:crypto";
import {
  TAKEN_HEADER,
  uplinkInboxFilter,
  uplinkInboxNumber,
  uplinkInboxSubject,
} from "../../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../../bus/contract.ts";
import type { Wheel, WheelEntry } from "../../clock/wheel.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { Taker } from "./guarded.ts";

/**
 * Requests of a node to businesses, and their answers on one subscription: unlike the request of the
 * client library, one may be answered twice, "I have it" before the answer itself, and a timeout costs
 * no timer of its own.
 */
export class RequestInbox implements Disposable {
  readonly #messages: Messages;
  readonly #wheel: Wheel;
  readonly #inbox = randomBytes(12).toString("hex");
  readonly #subscription: Subscription;
  readonly #waiting = new Map<number, Waiting>();
  readonly #late: () => void;
  #last = 0;

  /** `late` is told of answers that nobody waits for any more. */
  constructor(messages: Messages, wheel: Wheel, late: () => void) {
    this.#messages = messages;
    this.#wheel = wheel;
    this.#late = late;
    this.#subscription = messages.subscribe(uplinkInboxFilter(this.#inbox), (message) =>
      this.#receive(message),
    );
  }

  /** Rejects with HoldfastError `timeout`, or `unavailable` when nobody listens. */
  ask(subject: string, payload: Uint8Array, timeoutMs: number, taker: Taker): Promise<Uint8Array> {
    this.#last += 1;
    const number = this.#last;
    return new Promise((resolve, reject) => {
      const waiting = new Waiting({ number, taker, resolve, reject, waiting: this.#waiting });
      this.#waiting.set(number, waiting);
      this.#wheel.schedule(waiting, timeoutMs);
      this.#messages.publish(subject, payload, uplinkInboxSubject(this.#inbox, number));
    });
  }

  [Symbol.dispose](): void {
    this.#subscription.stop();
    for (const waiting of this.#waiting.values()) this.#wheel.remove(waiting);
    this.#waiting.clear();
  }

  #receive(message: Received): void {
    const number = uplinkInboxNumber(message.subject);
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) {
      this.#late();
    } else if (message.header(TAKEN_HEADER) !== undefined) {
      waiting.options.taker.taken();
    } else {
      this.#waiting.delete(number);
      this.#wheel.remove(waiting);
      if (message.noResponders) waiting.options.reject(NOBODY);
      else waiting.options.resolve(message.data);
    }
  }
}

const NOBODY = new HoldfastError("unavailable", "no server of the business listens on its subject");
const NO_ANSWER = new HoldfastError("timeout", "no answer in time");

interface WaitingOptions {
  number: number;
  taker: Taker;
  resolve(answer: Uint8Array): void;
  reject(why: HoldfastError): void;
  waiting: Map<number, Waiting>;
}

class Waiting implements WheelEntry {
  readonly options: WaitingOptions;
  wheelPrevious: WheelEntry | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  dueAtMs = 0;

  constructor(options: WaitingOptions) {
    this.options = options;
  }

  due(): void {
    this.options.waiting.delete(this.options.number);
    this.options.reject(NO_ANSWER);
  }
}
