import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import { type Msg, type MsgHdrs, nanos, nuid, type Subscription } from "@nats-io/transport-node";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import { type Delivery, parseDelivery } from "./delivery.ts";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";
import { storedAt } from "./stored-at.ts";
import { breakIn, type StreamView } from "./stream-view.ts";

export interface OrderedConsumerOptions {
  stream: string;
  /** The subjects to read. */
  filter: string;
  start: { after: number } | "newest-of-each-subject";
  /** Whether a part that the stream no longer has is a break, even if it may have been others' messages. */
  complete: boolean;
  clock?: Clock;
}

export interface OrderedHandler {
  /** `storedAtMs`: when the server stored it, Unix ms. */
  message(sequence: number, message: Msg, storedAtMs: number): void;
  /** Everything that was there has been given. May be called more than once. */
  caughtUp?(): void;
  /** Order can no longer be given. Nothing is called after it. */
  broken(why: HoldfastError): void;
}

/** What has come since `pause`. */
interface Paused {
  messages: { delivery: Delivery; message: Msg }[];
  /** Tells the server that it may send on. */
  pace: (() => void) | undefined;
  caughtUp: boolean;
}

const HEARTBEAT_MS = 1_000;
const SILENCE_MS = 3 * HEARTBEAT_MS;
const CHECK_MS = 500;
const RETRY_MS = 500;
/** After this the server forgets a consumer that nobody reads. */
const INACTIVE_MS = 30_000;

const STATUS = 100;

/**
 * Reads a stream in order, each message once, through consumers that come and go: the position is
 * kept here. A message that is missing, a silence, a lost connection or a lost consumer make a new
 * consumer from there on.
 *
 * The client library's own ordered consumer notices a restarted server only after a minute, cannot
 * say that the stream was cut or remade, and ends when a callback throws.
 */
export class OrderedConsumer {
  readonly #connection: Connection;
  readonly #options: OrderedConsumerOptions;
  readonly #handler: OrderedHandler;
  readonly #clock: Clock;
  readonly #owned: { stop(): void }[];
  /** Everything up to here was delivered, or is not for the filter. undefined: nothing was read yet. */
  #position: number | undefined;
  /** The newest message that was read. */
  #newest: Delivery | undefined;
  #seen: StreamView | undefined;
  /** Of the present consumer. */
  #round = 0;
  #subscription: Subscription | undefined;
  #consumerSequence = 0;
  #heardAt = 0;
  #paused: Paused | undefined;
  #stopped = false;

  constructor(connection: Connection, options: OrderedConsumerOptions, handler: OrderedHandler) {
    this.#connection = connection;
    this.#options = options;
    this.#handler = handler;
    this.#clock = options.clock ?? systemClock;
    if (options.start !== "newest-of-each-subject") this.#position = options.start.after;
    const checker = this.#clock.every(CHECK_MS, () => this.#checkSilence());
    this.#owned = [
      connection.link.watch((connected) => (connected ? this.#open() : this.#close())),
      { stop: () => checker.cancel() },
    ];
    if (connection.link.connected) this.#open();
  }

  /**
   * Gives nothing until `resume`. What the server sends ahead, a few MiB at the most, waits here; then
   * it holds the rest back, since it gets no sign that we keep pace.
   */
  pause(): void {
    this.#paused ??= { messages: [], pace: undefined, caughtUp: false };
  }

  resume(): void {
    const paused = this.#paused;
    if (paused === undefined) return;
    this.#paused = undefined;
    for (const [index, { delivery, message }] of paused.messages.entries()) {
      if (this.#stopped) return;
      this.#give(delivery, message);
      if (!this.#isPaused()) continue;
      // The handler has had enough again.
      this.#paused = { ...paused, messages: paused.messages.slice(index + 1) };
      return;
    }
    paused.pace?.();
    if (paused.caughtUp) this.#handler.caughtUp?.();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#paused = undefined;
    this.#close();
    for (const one of this.#owned) one.stop();
  }

  /** Leaves the present consumer. The server deletes it, since nobody listens to its subject. */
  #close(): void {
    this.#round++;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  #open(): void {
    this.#close();
    this.#heardAt = this.#clock.monotonic();
    void this.#openRound(this.#round);
  }

  async #openRound(round: number): Promise<void> {
    try {
      const jsm = await jetstreamManager(this.#connection.nc, { checkAPI: false });
      const broken = await this.#findBreak(jsm);
      if (round !== this.#round) return;
      if (broken) return this.#break(broken);
      await this.#consume(jsm, round);
    } catch (reason) {
      if (round !== this.#round) return;
      if (apiErrorCode(reason) === JS.streamNotFound) {
        return this.#break(natsError(`cannot read ${this.#options.stream}`, reason));
      }
      this.#clock.after(RETRY_MS, () => {
        if (round === this.#round && this.#connection.link.connected) this.#open();
      });
    }
  }

  async #findBreak(jsm: JetStreamManager): Promise<HoldfastError | undefined> {
    const { created, state } = await jsm.streams.info(this.#options.stream);
    const now = { created, firstSequence: state.first_seq, lastSequence: state.last_seq };
    const { stream, complete } = this.#options;
    const why = breakIn(this.#seen, now, { position: this.#position ?? 0, complete });
    this.#seen = now;
    const broken = why ?? (await this.#findOther(jsm));
    if (broken === undefined) return undefined;
    return new HoldfastError("conflict", `stream ${stream} ${broken}`);
  }

  /** A stream that lost its end and has grown past our place since looks like one that has only grown. */
  async #findOther(jsm: JetStreamManager): Promise<string | undefined> {
    const newest = this.#newest;
    if (newest === undefined || !this.#options.complete) return undefined;
    const found = await storedAt(jsm, this.#options.stream, newest.sequence);
    if (found === undefined || found === newest.storedAtMs) return undefined;
    return `has another message at sequence ${newest.sequence} than was read there`;
  }

  async #consume(jsm: JetStreamManager, round: number): Promise<void> {
    const { nc } = this.#connection;
    const inbox = this.#connection.inbox();
    this.#consumerSequence = 0;
    this.#subscription = nc.subscribe(inbox, {
      callback: (error, message) => this.#receive(error, message, round),
    });
    const { num_pending } = await jsm.consumers.add(this.#options.stream, this.#config(inbox));
    if (round === this.#round && num_pending === 0) this.#handler.caughtUp?.();
  }

  #config(inbox: string): Partial<ConsumerConfig> {
    const start =
      this.#position === undefined
        ? { deliver_policy: DeliverPolicy.LastPerSubject }
        : {
            deliver_policy: DeliverPolicy.StartSequence,
            opt_start_seq: this.#position + 1,
          };
    return {
      ...start,
      name: `hf-${nuid.next()}`,
      filter_subject: this.#options.filter,
      ack_policy: AckPolicy.None,
      deliver_subject: inbox,
      flow_control: true,
      idle_heartbeat: nanos(HEARTBEAT_MS),
      inactive_threshold: nanos(INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    };
  }

  #receive(error: Error | null, message: Msg, round: number): void {
    if (round !== this.#round) return;
    this.#heardAt = this.#clock.monotonic();
    // An exception here would end the client's reading of the connection.
    try {
      if (error) throw error;
      if (message.headers?.code === STATUS) this.#receiveStatus(message);
      else this.#receiveMessage(message);
    } catch (reason) {
      this.#fault(reason);
    }
  }

  #receiveMessage(message: Msg): void {
    const delivery = parseDelivery(message.reply);
    if (delivery === undefined) return;
    if (delivery.consumerSequence !== this.#consumerSequence + 1) {
      this.#open();
      return;
    }
    this.#consumerSequence++;
    // A copy of the stream that lags behind lets a new consumer begin where that copy ends.
    if (delivery.sequence > (this.#position ?? 0)) {
      this.#position = delivery.sequence;
      this.#newest = delivery;
      if (this.#paused === undefined) this.#give(delivery, message);
      else this.#paused.messages.push({ delivery, message });
    }
    if (delivery.pending === 0) this.#caughtUp();
  }

  #give({ sequence, storedAtMs }: Delivery, message: Msg): void {
    try {
      this.#handler.message(sequence, message, storedAtMs);
    } catch (reason) {
      this.#fault(reason);
    }
  }

  #isPaused(): boolean {
    return this.#paused !== undefined;
  }

  #caughtUp(): void {
    if (this.#paused === undefined) this.#handler.caughtUp?.();
    else this.#paused.caughtUp = true;
  }

  #fault(reason: unknown): void {
    const doing = `a message of ${this.#options.stream} was not handled`;
    this.#connection.events.fault(natsError(doing, reason));
  }

  #receiveStatus(message: Msg): void {
    // Flow control: the server asks for a sign that we keep pace.
    if (message.reply) this.#keepsPace(() => message.respond());
    else if (message.headers) this.#receiveHeartbeat(message.headers);
  }

  #receiveHeartbeat(headers: MsgHdrs): void {
    if (Number(headers.get("Nats-Last-Consumer")) > this.#consumerSequence) {
      this.#open();
      return;
    }
    // What lies between was looked at by the server and is not for this filter.
    const examined = Number(headers.get("Nats-Last-Stream"));
    this.#position = Math.max(this.#position ?? 0, examined);
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled) {
      this.#keepsPace(() => this.#connection.outbound.publish(stalled, new Uint8Array()));
    } else {
      this.#caughtUp();
    }
  }

  /** Lets the server send on, when we go on ourselves. */
  #keepsPace(tell: () => void): void {
    if (this.#paused === undefined) tell();
    else this.#paused.pace = tell;
  }

  #checkSilence(): void {
    if (!this.#connection.link.connected) return;
    if (this.#clock.monotonic() - this.#heardAt >= SILENCE_MS) this.#open();
  }

  #break(why: HoldfastError): void {
    this.stop();
    try {
      this.#handler.broken(why);
    } catch (reason) {
      const doing = `the break of ${this.#options.stream} was not handled`;
      this.#connection.events.fault(natsError(doing, reason));
    }
  }
}
