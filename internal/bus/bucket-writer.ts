import { headers } from "@nats-io/transport-node";
import { type Clock, systemClock } from "../clock/clock.ts";
import { type Code, HoldfastError } from "../status/errors.ts";
import { AckInbox, type AckReceiver } from "./ack-inbox.ts";
import { DELETION, OPERATION_HEADER } from "./bucket-entry.ts";
import type { Connection } from "./connect.ts";
import type { PutOutcome } from "./contract.ts";
import { isStoreFull, JS, natsError } from "./nats-errors.ts";
import type { AckError } from "./pub-ack.ts";

export interface Write {
  subject: string;
  /** undefined: a deletion. */
  value: Uint8Array | undefined;
  /** The last sequence of the subject, 0 for none. */
  expected: number;
}

type Done = (outcome: PutOutcome) => void;

interface Waiting {
  done: Done;
  sentAtMs: number;
}

const TIMEOUT_MS = 5_000;
const CHECK_MS = 1_000;
const NO_LEADER = 503;
const EMPTY = new Uint8Array(0);

/**
 * Conditional writes, each sent once: what is not answered for 5 s or when the connection is lost
 * is `unknown`. Only what waits for its answer is kept.
 */
export class BucketWriter implements AckReceiver {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #inbox: AckInbox;
  /** By number, so in the order of sending. */
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;

  constructor(connection: Connection, clock: Clock = systemClock) {
    this.#connection = connection;
    this.#clock = clock;
    this.#inbox = new AckInbox(connection, this);
    const checker = clock.every(CHECK_MS, () => this.#expire());
    void connection.closed.then(() => checker.cancel());
    connection.link.watch((connected) => {
      if (!connected) this.#giveUp(Number.POSITIVE_INFINITY);
    });
  }

  write(write: Write, done: Done): void {
    const { subject, value, expected } = write;
    const condition = headers();
    condition.set("Nats-Expected-Last-Subject-Sequence", String(expected));
    if (value === undefined) condition.set(OPERATION_HEADER, DELETION);
    const number = ++this.#number;
    this.#waiting.set(number, { done, sentAtMs: this.#clock.monotonic() });
    try {
      if (!this.#connection.link.connected) throw new HoldfastError("unavailable", "not connected");
      this.#inbox.publish(number, subject, value ?? EMPTY, condition);
    } catch (reason) {
      // Not before this returns, so that callers need not expect it.
      queueMicrotask(() => this.#fail(number, natsError(`cannot write ${subject}`, reason)));
    }
  }

  stored(number: number, sequence: number): void {
    this.#settle(number, { kind: "stored", revision: sequence });
  }

  notStored(number: number, error: AckError): void {
    if (error.code === JS.wrongLastSequence || error.code === JS.wrongLastSequenceInFlight) {
      this.#settle(number, { kind: "conflict" });
    } else {
      const why = `${error.stream || "a bucket"} does not take a write: ${error.description}`;
      this.#fail(number, new HoldfastError(codeOf(error), why));
    }
  }

  #fail(number: number, why: HoldfastError): void {
    if (why.code !== "unavailable") this.#connection.events.fault(why);
    this.#settle(number, { kind: "unknown" });
  }

  #settle(number: number, outcome: PutOutcome): void {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return;
    this.#waiting.delete(number);
    try {
      waiting.done(outcome);
    } catch (reason) {
      this.#connection.events.fault(natsError("a callback of a bucket write", reason));
    }
  }

  #expire(): void {
    if (this.#waiting.size > 0) this.#giveUp(this.#clock.monotonic() - TIMEOUT_MS);
  }

  /** What was sent up to then. Not what callbacks write meanwhile. */
  #giveUp(sentUntilMs: number): void {
    const last = this.#number;
    for (const [number, { sentAtMs }] of this.#waiting) {
      if (number > last || sentAtMs > sentUntilMs) break;
      this.#settle(number, { kind: "unknown" });
    }
  }
}

function codeOf(error: AckError): Code {
  // Nobody but the operator can do something about it.
  if (isStoreFull(error)) return "exhausted";
  // A bucket without a leader is an outage like a lost connection: whoever writes says so.
  return error.status === NO_LEADER ? "unavailable" : "internal";
}
