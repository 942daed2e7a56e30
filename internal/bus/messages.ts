import type { Msg, NatsConnection } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import type { Messages, Received, Subscription } from "./contract.ts";
import { natsError } from "./nats-errors.ts";
import { OutboundMeter } from "./outbound-meter.ts";

/** The status of what the server answers when nobody listens. */
const NO_RESPONDERS = 503;

/**
 * Plain messages over one connection. Nothing waits for a broker that is away: what is
 * published then is dropped, and requests fail at once.
 */
export class NatsMessages implements Messages {
  readonly #connection: Connection;
  readonly #nc: NatsConnection;
  readonly #outbound: OutboundMeter;
  #dropped = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#nc = connection.nc;
    this.#outbound = new OutboundMeter(connection);
  }

  /** Messages not sent because the broker was away, read too slowly, or does not take their size. */
  get dropped(): number {
    return this.#dropped;
  }

  publish(subject: string, payload: Uint8Array, replyTo?: string): void {
    if (!this.#admit(payload)) {
      this.#dropped++;
      return;
    }
    this.#connection.outbound.publish(subject, payload, replyTo);
  }

  subscribe(
    subject: string,
    receive: (message: Received) => void,
    options?: { queue?: string },
  ): Subscription {
    const callback = (error: Error | null, message: Msg) => {
      // An exception here would end the client's reading of the connection.
      try {
        if (error) throw error;
        receive(new NatsReceived(this, message));
      } catch (reason) {
        this.#connection.events.fault(natsError(`a message on ${subject} was not handled`, reason));
      }
    };
    const queue = options?.queue;
    const subscription = this.#nc.subscribe(subject, queue ? { queue, callback } : { callback });
    return { stop: () => subscription.unsubscribe() };
  }

  async request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (!this.#admit(payload)) {
      throw new HoldfastError("unavailable", `cannot ask ${subject}: ${this.#whyNot(payload)}`);
    }
    try {
      return (await this.#nc.request(subject, payload, { timeout: timeoutMs })).data;
    } catch (reason) {
      throw natsError(`no answer from ${subject}`, reason);
    }
  }

  #admit(payload: Uint8Array): boolean {
    return payload.length <= this.#connection.maxPayload && this.#outbound.admit(payload.length);
  }

  #whyNot(payload: Uint8Array): string {
    if (!this.#connection.link.connected) return "not connected to NATS";
    const { maxPayload } = this.#connection;
    if (payload.length > maxPayload) return `more than the server's ${maxPayload} bytes`;
    return "NATS reads too slowly";
  }
}

class NatsReceived implements Received {
  readonly #messages: NatsMessages;
  readonly #message: Msg;

  constructor(messages: NatsMessages, message: Msg) {
    this.#messages = messages;
    this.#message = message;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  header(name: string): string | undefined {
    return this.#message.headers?.get(name) || undefined;
  }

  get noResponders(): boolean {
    return this.#message.headers?.code === NO_RESPONDERS;
  }

  respond(payload: Uint8Array): void {
    const { reply } = this.#message;
    if (reply) this.#messages.publish(reply, payload);
  }
}
