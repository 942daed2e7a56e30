/**
 * What of the must-arrive messages each connection was given, and what of that its client has
 * acknowledged. Kept only for connections that were given any.
 *
 * A client acknowledges cumulatively and cannot see a gap, so this node must not let one arise:
 * what follows a message that was lost on the way here is not written, and comes again.
 */

interface Progress {
  /** Everything up to here that was not acknowledged before was written to the connection. */
  written: number;
  /** What the client said at login it had handled already, on other connections. */
  claimed: number;
  /** Logged as acknowledged. */
  acked: number;
}

export type AckVerdict =
  /** Everything up to `sequence` is handled: to be logged. */
  | { kind: "new"; sequence: number }
  /** Known already. */
  | { kind: "repeated" }
  /** The client acknowledges what it was never sent. */
  | { kind: "wrong" };

const REPEATED: AckVerdict = { kind: "repeated" };
const WRONG: AckVerdict = { kind: "wrong" };

export class Deliveries {
  readonly #progress = new Map<number, Progress>();

  /** Connections that were given must-arrive messages. */
  get size(): number {
    return this.#progress.size;
  }

  /** The client says at login that it has handled everything up to this delivery. */
  claim(connection: number, sequence: number): void {
    if (sequence > 0) this.#of(connection).claimed = sequence;
  }

  /** True if the delivery may be written: nothing is missing between it and what was written before. */
  take(connection: number, sequence: number, after: number): boolean {
    const progress = this.#of(connection);
    if (after > progress.written) return false;
    progress.written = Math.max(progress.written, sequence);
    // It is sent again because its acknowledgement got lost: the next one counts.
    progress.acked = Math.min(progress.acked, sequence - 1);
    return true;
  }

  acknowledge(connection: number, sequence: number): AckVerdict {
    const progress = this.#progress.get(connection);
    if (progress === undefined) return WRONG;
    const { written, claimed, acked } = progress;
    if (sequence > Math.max(written, claimed)) return WRONG;
    // Of what it handled on earlier connections, it may know more than was sent on this one yet.
    const handled = Math.min(sequence, written);
    if (handled <= acked) return REPEATED;
    progress.acked = handled;
    return { kind: "new", sequence: handled };
  }

  forget(connection: number): void {
    this.#progress.delete(connection);
  }

  #of(connection: number): Progress {
    let progress = this.#progress.get(connection);
    if (progress === undefined) {
      progress = { written: 0, claimed: 0, acked: 0 };
      this.#progress.set(connection, progress);
    }
    return progress;
  }
}
