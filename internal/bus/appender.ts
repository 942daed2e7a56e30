import { headers, type MsgHdrs, nuid } from "@nats-io/transport-node";
import { type Clock, systemClock, type Timer } from "../clock/clock.ts";
import { type Code, HoldfastError } from "../status/errors.ts";
import { AckInbox, type AckReceiver } from "./ack-inbox.ts";
import type { Connection } from "./connect.ts";
import type { Appender, AppendOptions, Stored } from "./contract.ts";
import { APPEND_ID_HEADER, firstRecordBy } from "./first-record.ts";
import { isStoreFull, JS, natsError } from "./nats-errors.ts";
import type { AckError } from "./pub-ack.ts";
import {
  CONFLICT,
  type Outcome,
  PublishWindow,
  REFUSED,
  type WindowLimits,
} from "./publish-window.ts";

export interface AppenderEvents {
  /**
   * JetStream does not take messages: no such stream, stream full, no answer. They are kept and
   * tried again. Called at the first failure, then about every 10 s until one is taken.
   */
  stalled(why: HoldfastError): void;
  /**
   * JetStream will not take this message, because it is too large or its subject is full: it was
   * dropped, and nobody but this is told, since its sender did not ask.
   */
  refused(subject: string, why: HoldfastError): void;
}

/**
 * The window is below the 10,000 messages that a stream queues before it turns publishers away, so
 * that several may share a stream. The backlog is what a broker that is away may cost in memory.
 */
export const APPENDER_LIMITS: WindowLimits = {
  maxInFlight: 2_048,
  maxInFlightBytes: 4 * 1024 * 1024,
  maxBacklog: 65_536,
  maxBacklogBytes: 64 * 1024 * 1024,
};

const TICK_MS = 1_000;
/** Five seconds without an answer. */
const PATIENCE_TICKS = 5;
const RETRY_MS = { first: 50, most: 2_000 };
const REPORT_EVERY_MS = 10_000;
/** Room for the subject, the reply subject and the protocol's own words. */
const OVERHEAD_BYTES = 128;

interface Message {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly size: number;
  readonly headers: MsgHdrs | undefined;
  readonly stored: Stored | undefined;
  readonly refused: AppendOptions["refused"];
  readonly refuseWhenFull: boolean;
  readonly first: First | undefined;
  /** When it was appended, in monotonic ms. */
  readonly atMs: number;
  readonly owner: object | undefined;
  sendings: number;
  /** JetStream had one of its id before, and not from an earlier sending of this one. */
  duplicate: boolean;
  refusedBecause: HoldfastError | undefined;
}

/** Of a message that must be the first of its subject. */
interface First {
  readonly id: string;
  readonly done: ((stored: boolean) => void) | undefined;
}

const UNSENT = { sendings: 0, duplicate: false, refusedBecause: undefined };

/**
 * Appends to JetStream over one connection. All subjects share one order, so a stream that takes
 * nothing holds up the others: what is independent has an appender of its own.
 */
export class NatsAppender implements Appender, AckReceiver, Disposable {
  readonly #connection: Connection;
  readonly #events: AppenderEvents;
  readonly #clock: Clock;
  readonly #window: PublishWindow<Message>;
  readonly #inbox: AckInbox;
  readonly #owned: { stop(): void }[];
  #retry: Timer | undefined;
  #retryMs = RETRY_MS.first;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(
    connection: Connection,
    events: AppenderEvents,
    options: { limits?: WindowLimits; clock?: Clock } = {},
  ) {
    this.#connection = connection;
    this.#events = events;
    this.#clock = options.clock ?? systemClock;
    this.#window = new PublishWindow(
      options.limits ?? APPENDER_LIMITS,
      {
        settled: (message, outcome) => this.#settled(message, outcome),
        fault: (reason) => connection.events.fault(natsError("a callback of append", reason)),
      },
      connection.link.connected,
    );
    this.#inbox = new AckInbox(connection, this);
    const ticker = this.#clock.every(TICK_MS, () => this.#tick());
    this.#owned = [
      connection.link.watch((connected) => this.#linkChanged(connected)),
      { stop: () => ticker.cancel() },
      this.#inbox,
    ];
  }

  get ready(): boolean {
    return this.#window.ready;
  }

  get backlog(): number {
    return this.#window.backlog;
  }

  get oldestAgeMs(): number {
    const { oldest } = this.#window;
    return oldest === undefined ? 0 : this.#clock.monotonic() - oldest.atMs;
  }

  append(subject: string, payload: Uint8Array, stored?: Stored, options?: AppendOptions): void {
    const size = payload.length + subject.length + OVERHEAD_BYTES;
    const headers = options?.headers && headersOf(options.headers);
    const refused = options?.refused;
    const { refuseWhenFull = false, owner } = options ?? {};
    const atMs = this.#clock.monotonic();
    const asked = { stored, refused, refuseWhenFull, owner, first: undefined };
    this.#add({ ...UNSENT, atMs, subject, payload, size, headers, ...asked });
  }

  appendFirst(subject: string, payload: Uint8Array, done?: (stored: boolean) => void): void {
    const size = payload.length + subject.length + 2 * OVERHEAD_BYTES;
    const id = nuid.next();
    const condition = headers();
    condition.set("Nats-Expected-Last-Subject-Sequence", "0");
    condition.set(APPEND_ID_HEADER, id);
    this.#add({
      ...UNSENT,
      atMs: this.#clock.monotonic(),
      subject,
      payload,
      size,
      headers: condition,
      stored: undefined,
      refused: undefined,
      refuseWhenFull: false,
      owner: undefined,
      first: { id, done },
    });
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

  /**
   * Sends nothing (again) that was appended with this `owner`, and tells it nothing. What is on its way
   * may still be stored.
   */
  forget(owner: object): void {
    this.#window.forget((message) => message.owner === owner);
    this.#send();
  }

  /** Ends it; what is not stored by now may never be. */
  [Symbol.dispose](): void {
    this.#window.hold();
    this.#window.discard();
    this.#retry?.cancel();
    for (const one of this.#owned) one.stop();
  }

  stored(number: number, sequence: number, duplicate: boolean): void {
    const message = duplicate ? this.#window.message(number) : undefined;
    if (message?.sendings === 1) message.duplicate = true;
    this.#window.settle(number, sequence);
    this.#retryMs = RETRY_MS.first;
    this.#goOn();
  }

  notStored(number: number, error: AckError): void {
    if (error.code === JS.wrongLastSequence) this.#notFirst(number, error);
    else if (isTooLarge(error)) this.#refuse(number, "invalid", error.description);
    else if (isSubjectFull(error)) this.#refuse(number, "exhausted", error.description);
    else if (isStoreFull(error) && this.#window.message(number)?.refuseWhenFull === true) {
      this.#refuse(number, "unavailable", error.description);
    } else if (this.#window.fail(number)) this.#stalled(notTaken(error));
    this.#goOn();
  }

  #add(message: Message): void {
    this.#window.add(message);
    this.#send();
  }

  #send(): void {
    for (;;) {
      const message = this.#window.take();
      if (message === undefined) return;
      if (!this.#publish(this.#window.lastNumber, message)) return;
    }
  }

  #publish(number: number, message: Message): boolean {
    const { subject, payload, headers } = message;
    message.sendings++;
    try {
      this.#inbox.publish(number, subject, payload, headers);
      return true;
    } catch (reason) {
      const { nc } = this.#connection;
      if (!nc.isClosed() && !nc.isDraining()) {
        // Larger than the server's limit.
        this.#refuse(number, "invalid", String(reason));
        return true;
      }
      this.#window.disconnected();
      this.#stalled(natsError(`cannot publish to ${subject}`, reason));
      return false;
    }
  }

  #refuse(number: number, code: Code, why: string): void {
    const message = this.#window.message(number);
    if (message === undefined) return;
    const what = `a message of ${message.payload.length} bytes to ${message.subject}`;
    message.refusedBecause = new HoldfastError(code, `${what} is refused: ${why}`);
    this.#window.settle(number, REFUSED);
  }

  #settled(message: Message, outcome: Outcome): void {
    if (outcome === REFUSED && message.refusedBecause !== undefined) {
      if (message.refused !== undefined) message.refused(message.refusedBecause);
      else this.#events.refused(message.subject, message.refusedBecause);
    } else if (message.first !== undefined) {
      message.first.done?.(outcome !== CONFLICT);
    } else {
      message.stored?.(outcome, message.duplicate);
    }
  }

  /** Somebody was first. When this is not the first sending, an earlier one may have been it. */
  #notFirst(number: number, error: AckError): void {
    const message = this.#window.message(number);
    if (message?.first === undefined) return;
    if (message.sendings === 1) this.#window.settle(number, CONFLICT);
    else void this.#askWhoWasFirst(number, message.first.id, message.subject, error.stream);
  }

  async #askWhoWasFirst(
    number: number,
    id: string,
    subject: string,
    stream: string,
  ): Promise<void> {
    try {
      const sequence = await firstRecordBy(this.#connection.nc, id, { stream, subject });
      this.#window.settle(number, sequence ?? CONFLICT);
    } catch (reason) {
      const why = natsError(`cannot read back ${subject}`, reason);
      if (this.#window.fail(number)) this.#stalled(why);
    }
    this.#goOn();
  }

  /** Sends on; if the window has gone back, after a pause that grows from failure to failure. */
  #goOn(): void {
    if (this.#window.phase !== "pausing") {
      this.#send();
      return;
    }
    if (this.#retry !== undefined) return;
    this.#retry = this.#clock.after(this.#retryMs, () => {
      this.#retry = undefined;
      this.#window.retry();
      this.#send();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS.most);
  }

  #tick(): void {
    if (!this.#window.tick(PATIENCE_TICKS)) return;
    const seconds = (PATIENCE_TICKS * TICK_MS) / 1_000;
    this.#stalled(new HoldfastError("timeout", `no answer of JetStream for ${seconds} s`));
    this.#goOn();
  }

  #linkChanged(connected: boolean): void {
    if (connected) this.#window.connected();
    else this.#window.disconnected();
    this.#send();
  }

  #stalled(why: HoldfastError): void {
    const now = this.#clock.monotonic();
    if (now - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#reportedAt = now;
    this.#events.stalled(why);
  }
}

function headersOf(values: Readonly<Record<string, string>>): MsgHdrs {
  const all = headers();
  for (const [name, value] of Object.entries(values)) all.set(name, value);
  return all;
}

/** The number stands for whatever the store says. */
function isSubjectFull(error: AckError): boolean {
  return error.code === JS.storeFailed && error.description.includes("messages per subject");
}

function isTooLarge(error: AckError): boolean {
  return error.code === JS.maxPayload || error.code === JS.maxHeaders;
}

function notTaken(error: AckError): HoldfastError {
  return new HoldfastError("unavailable", `JetStream does not take messages: ${error.description}`);
}
