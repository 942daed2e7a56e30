import type { Connection } from "./connect.ts";

const CHECK_EVERY_BYTES = 1024 * 1024;
const MAX_UNREAD_BYTES = 64 * 1024 * 1024;

/**
 * Bounds what waits in the sockets' buffers when the server stops reading. The client library has no
 * back-pressure: it is asked for a round trip once a megabyte, and what was sent since the last
 * one that came back counts as unread.
 */
export class OutboundMeter {
  readonly #connection: Connection;
  readonly #limit: number;
  #unread = 0;
  #sinceCheck = 0;

  constructor(connection: Connection, limitBytes = MAX_UNREAD_BYTES) {
    this.#connection = connection;
    this.#limit = limitBytes;
    connection.link.watch((connected) => {
      // The client has dropped what waited.
      if (!connected) this.#unread = 0;
    });
  }

  /** Counts a message of this size in. False when it must not be sent: no broker, or too much waits. */
  admit(bytes: number): boolean {
    if (!this.#connection.link.connected || this.#unread + bytes > this.#limit) return false;
    this.#unread += bytes;
    this.#sinceCheck += bytes;
    if (this.#sinceCheck >= CHECK_EVERY_BYTES) this.#check();
    return true;
  }

  #check(): void {
    const sent = this.#sinceCheck;
    this.#sinceCheck = 0;
    const read = () => {
      this.#unread = Math.max(0, this.#unread - sent);
    };
    // Rejected when the connection is lost, and with it what was counted.
    this.#connection.outbound.flush().then(read, () => {});
  }
}
