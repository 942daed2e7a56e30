import type { SnapshotRef } from "../../../streams/records.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../observe/logger.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { RouteTable } from "../fold/route-table.ts";
import { cutOf } from "./cut.ts";
import type { SnapshotStore, StoredSnapshot } from "./store.ts";

/** When a new snapshot is taken. */
export interface SnapshotLimits {
  /** After so many records, or half as many as there are devices, so that it costs a record no more. */
  records: number;
  /** Or after so long, if there was any record. */
  everyMs: number;
}

export const SNAPSHOT_LIMITS: SnapshotLimits = { records: 10_000, everyMs: 5 * 60 * 1_000 };

const RETRY_MS = 10_000;

export interface SnapshotsOptions {
  partition: number;
  clock: Clock;
  log: Pick<Logger, "warn">;
  store: SnapshotStore;
  limits: SnapshotLimits;
}

/** Keeps the newest snapshot so near to the end of the log that the rest is soon read. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  /** The newest that is complete. */
  #newest: StoredSnapshot | undefined;
  /** Those that the checkpoint need not name any more. */
  #old: StoredSnapshot[] = [];
  #records = 0;
  #dueAt = Number.NEGATIVE_INFINITY;
  #writing = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /** What the checkpoint should name. */
  get newest(): SnapshotRef | undefined {
    return this.#newest?.ref;
  }

  loaded(snapshot: StoredSnapshot | undefined): void {
    const { clock, limits } = this.#options;
    this.#newest = snapshot;
    if (snapshot !== undefined) this.#dueAt = clock.monotonic() + limits.everyMs;
  }

  folded(): void {
    this.#records += 1;
  }

  /** Begins one if it is time. `generation`: no earlier snapshot has it. */
  tick(table: RouteTable, generation: number): void {
    if (this.#writing || !this.#isDue(table.devices.size)) return;
    this.#writing = true;
    void this.#take(table, generation).finally(() => {
      this.#writing = false;
    });
  }

  /** The checkpoint names this one now. */
  named(generation: number): void {
    if (generation !== this.#newest?.ref.generation) return;
    for (const snapshot of this.#old) this.#options.store.delete(snapshot);
    this.#old = [];
  }

  #isDue(devices: number): boolean {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    if (this.#records >= Math.max(limits.records, devices / 2))
      return now >= this.#dueAt - limits.everyMs;
    return this.#records > 0 && now >= this.#dueAt;
  }

  async #take(table: RouteTable, generation: number): Promise<void> {
    const { partition, clock, log, store, limits } = this.#options;
    const before = this.#records;
    this.#records = 0;
    this.#dueAt = clock.monotonic() + limits.everyMs;
    try {
      const snapshot = await store.write(cutOf(table), generation);
      if (this.#newest !== undefined) this.#old.push(this.#newest);
      this.#newest = snapshot;
    } catch (reason) {
      const { message } = HoldfastError.from(reason);
      log.warn({ partition, why: message }, "a snapshot was not stored; tried again later");
      this.#records += before;
      this.#dueAt = clock.monotonic() + limits.everyMs + RETRY_MS;
    }
  }
}
