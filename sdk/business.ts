import { Emitter, type Handler } from "./emitter.ts";
import type { Message, Payload } from "./message.ts";
import type { Outgoing, Requests, UplinkOptions } from "./requests.ts";

export interface BusinessEvents {
  message: Message;
}

/** One business on the shared connection. */
export interface Business {
  readonly name: string;
  /** Returns the function that removes the handler again. */
  on<Name extends keyof BusinessEvents>(
    name: Name,
    handler: Handler<BusinessEvents[Name]>,
  ): () => void;
  /**
   * Sends to the business server. Resolves when the business side has the message; rejects with
   * `uplink`, `refused`, `timeout`, `invalid` or `closed`.
   */
  send(outgoing: Outgoing, options?: UplinkOptions): Promise<void>;
  /** The same, and resolves with the business server's reply. */
  request(outgoing: Outgoing, options?: UplinkOptions): Promise<Payload>;
}

export class BusinessChannel implements Business {
  readonly name: string;
  readonly events = new Emitter<BusinessEvents>();
  readonly #requests: Requests;

  constructor(name: string, requests: Requests) {
    this.name = name;
    this.#requests = requests;
  }

  on<Name extends keyof BusinessEvents>(
    name: Name,
    handler: Handler<BusinessEvents[Name]>,
  ): () => void {
    return this.events.on(name, handler);
  }

  async send(outgoing: Outgoing, options?: UplinkOptions): Promise<void> {
    await this.#requests.request(this.name, outgoing, false, options);
  }

  request(outgoing: Outgoing, options?: UplinkOptions): Promise<Payload> {
    return this.#requests.request(this.name, outgoing, true, options);
  }
}
