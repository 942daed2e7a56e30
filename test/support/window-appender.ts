import type { Appender, AppendOptions, Stored } from "../../internal/bus/contract.ts";
import {
  type Outcome,
  PublishWindow,
  REFUSED,
  type WindowLimits,
} from "../../internal/bus/publish-window.ts";
import { HoldfastError } from "../../internal/status/errors.ts";

export interface Published {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly messageId: string;
}

/** What a stream says to one message: where it is stored, "rejected" when it is not this time, "refused" for good. */
export type Answer = { sequence: number; duplicate: boolean } | "rejected" | "refused";

/** Carries a message to a stream and its answer back, whenever it likes; it may lose either. */
export type Wire = (message: Published, answered: (answer: Answer) => void) => void;

interface Message extends Published {
  readonly size: number;
  readonly stored: Stored | undefined;
  readonly refused: AppendOptions["refused"];
  readonly owner: object | undefined;
  sendings: number;
  duplicate: boolean;
}

const LIMITS: WindowLimits = {
  maxInFlight: 16,
  maxInFlightBytes: 1e6,
  maxBacklog: 1_000,
  maxBacklogBytes: 1e8,
};

/** The real publish window, with a stream behind it that the test makes up. */
export class WindowAppender implements Appender {
  readonly #window: PublishWindow<Message>;
  readonly #wire: Wire;
  readonly #afterPause: (retry: () => void) => void;

  constructor(wire: Wire, afterPause: (retry: () => void) => void) {
    this.#wire = wire;
    this.#afterPause = afterPause;
    const settled = ({ stored, refused, duplicate }: Message, outcome: Outcome) => {
      if (outcome === REFUSED) refused?.(new HoldfastError("exhausted", "full"));
      else stored?.(outcome, duplicate);
    };
    const fault = (reason: unknown) => {
      throw reason;
    };
    this.#window = new PublishWindow(LIMITS, { settled, fault }, true);
  }

  get ready(): boolean {
    return this.#window.ready;
  }

  get backlog(): number {
    return this.#window.backlog;
  }

  readonly oldestAgeMs = 0;

  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions): void {
    const messageId = options?.headers?.["Nats-Msg-Id"] ?? "";
    const { length: size } = payload;
    const owner = options?.owner;
    const state = { sendings: 0, duplicate: false };
    const refused = options?.refused;
    this.#window.add({ subject, payload, messageId, size, stored, refused, owner, ...state });
    this.#send();
  }

  appendFirst(): void {
    throw new Error("not here");
  }

  hold(): void {
    this.#window.hold();
  }

  release(): void {
    this.#window.release();
    this.#send();
  }

  discard(): void {
    this.#window.discard();
  }

  forget(owner: object): void {
    this.#window.forget((message) => message.owner === owner);
    this.#send();
  }

  /** The link breaks: nothing in flight is answered any more. */
  disconnected(): void {
    this.#window.disconnected();
  }

  connected(): void {
    this.#window.connected();
    this.#send();
  }

  #send(): void {
    for (let message = this.#window.take(); message !== undefined; message = this.#window.take()) {
      const number = this.#window.lastNumber;
      const sent = message;
      sent.sendings += 1;
      this.#wire(sent, (answer) => this.#answered(number, sent, answer));
    }
  }

  #answered(number: number, message: Message, answer: Answer): void {
    if (answer === "rejected") this.#window.fail(number);
    else if (answer === "refused") this.#window.settle(number, REFUSED);
    else {
      if (this.#window.message(number) === message && message.sendings === 1) {
        message.duplicate = answer.duplicate;
      }
      this.#window.settle(number, answer.sequence);
    }
    if (this.#window.phase === "pausing") {
      this.#afterPause(() => {
        this.#window.retry();
        this.#send();
      });
    }
    this.#send();
  }
}
