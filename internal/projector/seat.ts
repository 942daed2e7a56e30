import type { Link } from "../bus/contract.ts";
import type { OwnershipRecords } from "./ownership.ts";
import {
  type OwnerFailure,
  PartitionOwner,
  type PartitionOwnerOptions,
} from "./partition-owner.ts";

export interface SeatOptions
  extends Omit<PartitionOwnerOptions, "fromStart" | "confirmed" | "failed"> {
  records: OwnershipRecords;
  link: Link;
  counters: OwnershipCounters;
  /** The partition keeps failing here: somebody else had better try. */
  decline(): void;
}

/** Over all the partitions of a projector. */
export interface OwnershipCounters {
  /** How often a partition became this projector's, or ceased to be. */
  ownershipChanges: number;
  /** How often a partition was loaded. */
  loads: number;
  /** How often an owner stopped that should not have. */
  ownerFailures: number;
}

/** The most that a failing owner waits before it loads again, in ms. */
const MAX_BACKOFF_MS = 4_000;
const FIRST_BACKOFF_MS = 250;
/** Failing so often in a row, it gives way. */
const MAX_FAILURES = 5;
/** Whoever was live for so long has not failed in a row. */
const WELL_AFTER_MS = 10_000;
/** How long a handover waits for what is not yet written: the next owner reads it again. */
const CLOSE_TIMEOUT_MS = 5_000;

type Work =
  | { kind: "none" }
  | { kind: "owning"; owner: PartitionOwner }
  /** The owner failed, and another one starts when it is time. */
  | { kind: "waiting"; until: number }
  | { kind: "handing-over"; owner: PartitionOwner }
  /** Nothing is written any more, and the record is to say so. */
  | { kind: "releasing" };

/** What is best for a partition, as far as this projector can see. */
export interface Wish {
  /** This projector should own it. */
  wanted: boolean;
  /** Nobody is in the way. */
  free: boolean;
}

/** One partition as one projector sees it: its record, and the owner at work while that names this projector. */
export class Seat {
  readonly partition: number;
  readonly #options: SeatOptions;
  #work: Work = { kind: "none" };
  /** In which this projector owned the partition when it last looked. */
  #epoch: number | undefined;
  #failures = 0;
  #fromStart = false;

  constructor(options: SeatOptions) {
    this.#options = options;
    this.partition = options.partition;
  }

  /** The owner at work, if this projector has all of the partition's log and may act on it. */
  get live(): PartitionOwner | undefined {
    const work = this.#work;
    if (work.kind !== "owning" || !work.owner.live || !this.#options.allowed()) return undefined;
    return work.owner;
  }

  /** The owner at work, also while it loads. */
  get owner(): PartitionOwner | undefined {
    return this.#work.kind === "owning" ? this.#work.owner : undefined;
  }

  /** True when this projector has nothing to do with the partition. */
  get vacant(): boolean {
    const { records, partition } = this.#options;
    return this.#epoch === undefined && !records.unsettled(partition);
  }

  /** The record may be another, or may be relied on again. */
  recordChanged(): void {
    const { records, partition, counters } = this.#options;
    const epoch = records.held(partition);
    if (epoch !== this.#epoch) {
      counters.ownershipChanges += 1;
      this.#epoch = epoch;
      this.#abandon();
    } else if (this.#work.kind === "owning" && records.allowed(partition)) {
      this.#work.owner.resume();
    }
  }

  /** Takes, loads, hands over, so that the wish comes true. True when there is nothing left to do. */
  act({ wanted, free }: Wish): boolean {
    const { records, partition, clock } = this.#options;
    const work = this.#work;
    if (this.#epoch === undefined) {
      if (wanted && free) records.take(partition);
      return !wanted;
    }
    if (!records.allowed(partition)) return false;
    switch (work.kind) {
      case "none":
        if (wanted) this.#start();
        else this.#release();
        return false;
      case "owning":
        if (!wanted && work.owner.live) void this.#handOver(work.owner);
        return wanted && work.owner.live;
      case "waiting":
        if (!wanted) this.#release();
        else if (clock.monotonic() >= work.until) this.#start();
        return false;
      case "handing-over":
        return false;
      case "releasing":
        this.#release();
        return false;
    }
  }

  /** Once a second. */
  tick(): void {
    if (this.#work.kind === "owning") this.#work.owner.tick();
  }

  /** Hands the partition over, whoever is there to take it. */
  close(): void {
    const work = this.#work;
    if (work.kind === "owning") void this.#handOver(work.owner);
    else if (work.kind === "waiting") this.#release();
  }

  /** Stops at once, without a word to anybody. */
  #abandon(): void {
    const work = this.#work;
    this.#work = { kind: "none" };
    if (work.kind === "owning" || work.kind === "handing-over") {
      const { log, partition } = this.#options;
      log.warn({ partition }, "the partition has another owner");
      work.owner.abandon();
    }
  }

  #start(): void {
    const { records, partition, counters } = this.#options;
    counters.loads += 1;
    const owner = new PartitionOwner({
      ...this.#options,
      fromStart: this.#fromStart,
      confirmed: () => records.confirm(partition),
      failed: (why) => this.#ownerFailed(owner, why),
    });
    this.#fromStart = false;
    this.#work = { kind: "owning", owner };
    void owner.start();
  }

  /** What failed may have failed because the partition has another owner by now, so the leader is asked first. */
  #ownerFailed(owner: PartitionOwner, why: OwnerFailure): void {
    const { clock, log, partition, counters, records, link, decline } = this.#options;
    if (this.#work.kind !== "owning" || this.#work.owner !== owner) return;
    log.warn({ partition, why }, "the partition is loaded again");
    counters.ownerFailures += 1;
    if (why === "log-lost") this.#fromStart = true;
    const now = clock.monotonic();
    if (owner.liveSince !== undefined && now - owner.liveSince >= WELL_AFTER_MS) this.#failures = 0;
    const backoffMs = Math.min(FIRST_BACKOFF_MS * 2 ** this.#failures, MAX_BACKOFF_MS);
    this.#work = { kind: "waiting", until: now + backoffMs };
    records.doubt(partition);
    // A broker that is away is away for the others too.
    if (link.connected) this.#failures += 1;
    if (this.#failures < MAX_FAILURES) return;
    log.warn({ partition }, "the partition keeps failing here and is given up");
    this.#failures = 0;
    this.#work = { kind: "releasing" };
    decline();
  }

  async #handOver(owner: PartitionOwner): Promise<void> {
    const work: Work = { kind: "handing-over", owner };
    this.#work = work;
    const release = () => {
      late.cancel();
      if (this.#work === work) this.#release();
    };
    const late = this.#options.clock.after(CLOSE_TIMEOUT_MS, () => {
      owner.abandon();
      release();
    });
    await owner.close();
    release();
  }

  #release(): void {
    this.#work = { kind: "releasing" };
    this.#options.records.release(this.partition);
  }
}
