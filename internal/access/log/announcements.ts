import type { Clock, Timer } from "../../clock/clock.ts";
import { inSlices } from "../../clock/slices.ts";
import type { LoggedConnection } from "./connection-log.ts";
import type { NodeRecords } from "./node-records.ts";
import type { OpenConnections } from "./open-connections.ts";

export interface AnnouncementsOptions {
  clock: Clock;
  sliceMs: number | undefined;
  open: readonly OpenConnections[];
  records: NodeRecords;
  /** This connection was in an announcement that is stored. */
  stored(connection: LoggedConnection): void;
}

/** The announcement that is being written. */
interface Current {
  readonly partition: number;
  /** Those that are in it. */
  readonly told: Set<LoggedConnection>;
  /** Records that have to wait for its end, in order. */
  readonly later: (() => void)[];
}

/**
 * Announces whole partitions, one after the other and each in slices, while connections come and go.
 *
 * The parts of an announcement follow each other without another record of its partition between them,
 * or the fold would take it for broken. So what happens meanwhile in that partition is covered by the
 * announcement where it has not come to the connection yet, and recorded behind it where it has.
 * The next one begins when the last is stored: it goes at the pace of the log, beside the logins.
 */
export class Announcements {
  readonly #options: AnnouncementsOptions;
  readonly #due = new Set<number>();
  #current: Current | undefined;
  /** The last part is appended and not stored. */
  #storing = false;
  #slices: Timer | undefined;
  #over = false;

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
  }

  add(partition: number): void {
    this.#due.add(partition);
    this.#next();
  }

  /** The incarnation is over, and what was not announced of it is not any more. */
  stop(): void {
    this.#over = true;
    this.#slices?.cancel();
  }

  /** Whether the partition is being announced, or will be. */
  concerns(partition: number): boolean {
    return this.#current?.partition === partition || this.#due.has(partition);
  }

  /** Records an event of the connection: now, behind its partition's announcement, or by it. */
  record(connection: LoggedConnection, write: () => void): void {
    const current = this.#current;
    if (current?.partition !== connection.partition) write();
    else if (current.told.has(connection)) current.later.push(write);
  }

  #next(): void {
    if (this.#over || this.#current !== undefined || this.#storing) return;
    const { value: partition, done } = this.#due.values().next();
    if (done === true) return;
    this.#due.delete(partition);
    const { open, records, clock, sliceMs, stored } = this.#options;
    const connections = open[partition];
    if (connections === undefined) throw new RangeError(`there is no partition ${partition}`);
    const current: Current = { partition, told: new Set(), later: [] };
    this.#current = current;
    const written = records.announced(partition, connections, () => {
      this.#storing = false;
      for (const connection of current.told) stored(connection);
      this.#next();
    });
    this.#storing = true;
    this.#slices = inSlices(written, (connection) => current.told.add(connection), {
      clock,
      sliceMs,
      done: () => {
        this.#current = undefined;
        for (const write of current.later) write();
        this.#next();
      },
    });
  }
}
