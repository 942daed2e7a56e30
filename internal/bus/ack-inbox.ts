import type { Msg, MsgHdrs, Subscription } from "@nats-io/transport-node";
import type { Connection } from "./connect.ts";
import { natsError } from "./nats-errors.ts";
import { type AckError, isDuplicate, parsePubAck } from "./pub-ack.ts";

/** Who publishes, and is told what became of each numbered message. */
export interface AckReceiver {
  /** `duplicate`: JetStream had a message of this Nats-Msg-Id before. */
  stored(number: number, sequence: number, duplicate: boolean): void;
  notStored(number: number, error: AckError): void;
}

const NO_RESPONDERS = 503;
const NO_STREAM = { code: 0, stream: "" };

/**
 * Publishes to JetStream with numbered reply subjects under one private inbox, so that one callback
 * serves all answers. A promise and a timer per message, as in the client's own publish, cost ten
 * times as much.
 */
export class AckInbox {
  readonly #connection: Connection;
  readonly #receiver: AckReceiver;
  readonly #prefix: string;
  readonly #subscription: Subscription;

  constructor(connection: Connection, receiver: AckReceiver) {
    this.#connection = connection;
    this.#receiver = receiver;
    this.#prefix = `${connection.inbox()}.`;
    this.#subscription = connection.nc.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => this.#receive(error, message),
    });
  }

  /**
   * The payload must not be changed afterwards.
   * @throws what the client library throws: connection closed, payload over the server's limit.
   */
  publish(number: number, subject: string, payload: Uint8Array, headers?: MsgHdrs): void {
    this.#connection.outbound.publish(subject, payload, this.#prefix + number, headers);
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }

  #receive(error: Error | null, message: Msg): void {
    // An exception here would end the client's reading of the connection.
    try {
      if (error) throw error;
      this.#dispatch(message);
    } catch (reason) {
      this.#connection.events.fault(natsError("a JetStream answer was not handled", reason));
    }
  }

  #dispatch(message: Msg): void {
    const number = Number(message.subject.slice(this.#prefix.length));
    const answer = message.headers?.code
      ? { ...NO_STREAM, status: message.headers.code, description: describe(message.headers) }
      : parsePubAck(message.data);
    if (typeof answer === "number")
      this.#receiver.stored(number, answer, isDuplicate(message.data));
    else this.#receiver.notStored(number, answer);
  }
}

function describe(headers: MsgHdrs): string {
  if (headers.code === NO_RESPONDERS) return "no stream takes this subject at present";
  return headers.description || `status ${headers.code}`;
}
