import { type MsgHdrs, type NatsConnection, NatsConnectionImpl } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";

const CRLF = Buffer.from("\r\n");
const NO_HEADERS = Buffer.alloc(0);
/** This much is sent before the turn ends, as the client library does. */
const SEND_BYTES = 32_768;

/**
 * Publishes over a connection of the client library: what a turn of the event loop says, in one write
 * at its end. The library's own `publish` writes after every callback, so that a node to which many
 * clients send in one turn makes a system call for each of them, and encodes each message into
 * memory of its own: together a third of what an uplink costs.
 * See https://docs.nats.io/reference/reference-protocols/nats-protocol for PUB and HPUB.
 */
export class Outbound {
  readonly #nc: NatsConnection;
  readonly #protocol: NatsConnectionImpl["protocol"];
  readonly #atTurnEnd = () => this.send();
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(nc: NatsConnection) {
    if (!(nc instanceof NatsConnectionImpl)) {
      throw new HoldfastError("internal", "a NATS connection that was not made by the library");
    }
    this.#nc = nc;
    this.#protocol = nc.protocol;
  }

  /**
   * The payload must not be changed afterwards. Lost without an error while the broker is away.
   * @throws what the client library throws: connection closed, message over the server's limit.
   */
  publish(subject: string, payload: Uint8Array, reply = "", headers?: MsgHdrs): void {
    // The library's headers as a string are what goes over the wire.
    const head = headers === undefined ? NO_HEADERS : Buffer.from(String(headers));
    const length = head.length + payload.length;
    if (!this.#takes(length)) {
      // It knows why not, and says so.
      this.#nc.publish(subject, payload, { reply, ...(headers && { headers }) });
      return;
    }
    const line =
      headers === undefined
        ? `PUB ${subject} ${reply} ${length}\r\n`
        : `HPUB ${subject} ${reply} ${head.length} ${length}\r\n`;
    if (this.#parts.length === 0) setImmediate(this.#atTurnEnd);
    this.#add(Buffer.from(line, "latin1"));
    if (headers !== undefined) this.#add(head);
    this.#add(payload);
    this.#add(CRLF);
    this.#protocol.outMsgs += 1;
    this.#protocol.outBytes += length;
    if (this.#bytes >= SEND_BYTES) this.send();
  }

  /** Hands what was published to the socket now. */
  send(): void {
    const [parts, bytes] = [this.#parts, this.#bytes];
    if (parts.length === 0) return;
    this.#parts = [];
    this.#bytes = 0;
    // Without a broker the library would keep it, and drop it when it dials again.
    if (this.#protocol.connected) this.#protocol.sendCommand(Buffer.concat(parts, bytes));
  }

  /** Resolves when the server has read what was published; rejects when the connection is lost. */
  flush(): Promise<void> {
    this.send();
    return this.#nc.flush();
  }

  #add(part: Uint8Array): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  #takes(length: number): boolean {
    const { info } = this.#protocol;
    if (this.#nc.isClosed() || this.#nc.isDraining()) return false;
    return info === undefined || length <= info.max_payload;
  }
}
