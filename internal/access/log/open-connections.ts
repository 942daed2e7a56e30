import { connectionHash, DigestSum } from "../../../streams/digest.ts";
import type { LoggedConnection } from "./connection-log.ts";

/**
 * The connections of one partition that this node told the log of, as it told them: what its
 * announcements list and its digests sum up.
 */
export class OpenConnections {
  /** The hash of each, as it is part of the sum. */
  readonly #hashes = new Map<LoggedConnection, number>();
  readonly sum = new DigestSum();

  get size(): number {
    return this.#hashes.size;
  }

  [Symbol.iterator](): Iterator<LoggedConnection> {
    return this.#hashes.keys();
  }

  has(connection: LoggedConnection): boolean {
    return this.#hashes.has(connection);
  }

  /** Adds a connection, or takes over its rooms as they are now. */
  set(connection: LoggedConnection, rooms: readonly string[]): void {
    const { counter, app, device } = connection;
    const before = this.#hashes.get(connection);
    if (before !== undefined) this.sum.remove(before);
    const hash = connectionHash(counter, app, device, rooms);
    this.#hashes.set(connection, hash);
    this.sum.add(hash);
  }

  delete(connection: LoggedConnection): boolean {
    const hash = this.#hashes.get(connection);
    if (hash === undefined) return false;
    this.sum.remove(hash);
    return this.#hashes.delete(connection);
  }
}
