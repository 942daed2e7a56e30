import type { Entry } from "../bus/contract.ts";
import { PartitionLease } from "./lease.ts";
import {
  type OwnerFailure,
  PartitionOwner,
  type PartitionOwnerOptions,
} from "./partition-owner.ts";

export type SeatOptions = Omit<PartitionOwnerOptions, "fromStart" | "allowed" | "failed">;

/** The most that a failing owner waits before it loads again, in ms. */
const MAX_BACKOFF_MS = 4_000;
const FIRST_BACKOFF_MS = 250;

type Work =
  | { kind: "none" }
  | { kind: "owning"; owner: PartitionOwner }
  /** The owner failed. Another one starts once the lease was confirmed after `confirm`. */
  | { kind: "waiting"; confirm: number; until: number }
  | { kind: "handing-over"; owner: PartitionOwner };

/** One partition as one projector sees it: the lease, and the owner at work while the lease is held. */
export class Seat {
  readonly partition: number;
  readonly #options: SeatOptions;
  readonly #lease: PartitionLease;
  #work: Work = { kind: "none" };
  #backoffMs = FIRST_BACKOFF_MS;
  #fromStart = false;
  #closing = false;

  constructor(options: SeatOptions) {
    this.#options = options;
    this.partition = options.partition;
    this.#lease = new PartitionLease({
      id: options.id,
      partition: options.partition,
      bucket: options.buckets.lease,
      clock: options.clock,
      taken: () => (this.#closing ? this.#lease.release() : this.#startOwner()),
      lost: () => this.#leaseLost(),
    });
  }

  /** The owner at work, if this projector has all of the partition's log and may act on it. */
  get live(): PartitionOwner | undefined {
    const work = this.#work;
    return work.kind === "owning" && work.owner.live && this.#lease.valid ? work.owner : undefined;
  }

  /** The owner at work, also while it loads. */
  get owner(): PartitionOwner | undefined {
    return this.#work.kind === "owning" ? this.#work.owner : undefined;
  }

  /** True if the partition is served: by this projector, or as far as can be seen by another. */
  get served(): boolean {
    const { owner } = this.#lease;
    if (owner === this.#options.id) return this.live !== undefined;
    return owner !== "" && !this.#lease.takeable;
  }

  observe(entry: Entry): void {
    this.#lease.observe(entry);
  }

  /** Takes, keeps, or hands over, so that in the end the preferred projector has the partition. */
  tick(preferred: string): void {
    this.#lease.tick();
    const wanted = preferred === this.#options.id;
    const work = this.#work;
    if (work.kind === "none" && wanted) this.#lease.take();
    if (work.kind === "owning" && !wanted && this.live !== undefined)
      void this.#handOver(work.owner);
    if (work.kind === "owning" && work.owner.live) this.#backoffMs = FIRST_BACKOFF_MS;
    if (work.kind === "waiting") this.#retry(work);
  }

  /** Keeps the lease if there is one. */
  keep(): void {
    this.#lease.tick();
  }

  /** Hands the partition over, whoever is there to take it. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#work.kind === "owning") await this.#handOver(this.#work.owner);
    else this.#lease.release();
  }

  /** Stops at once, without a word to anybody. */
  abandon(): void {
    if (this.#work.kind === "owning" || this.#work.kind === "handing-over") {
      this.#work.owner.abandon();
    }
    this.#work = { kind: "none" };
  }

  #startOwner(): void {
    const owner = new PartitionOwner({
      ...this.#options,
      fromStart: this.#fromStart,
      allowed: () => this.#lease.valid,
      failed: (why) => this.#ownerFailed(owner, why),
    });
    this.#fromStart = false;
    this.#work = { kind: "owning", owner };
    void owner.start();
  }

  /**
   * What failed may have failed because the partition has another owner by now. Only a renewal that
   * was sent after the failure proves that it has not.
   */
  #ownerFailed(owner: PartitionOwner, why: OwnerFailure): void {
    const { clock, log, partition } = this.#options;
    if (this.#work.kind !== "owning" || this.#work.owner !== owner) return;
    log.warn({ partition, why }, "the partition is loaded again");
    const now = clock.monotonic();
    if (why === "log-lost") this.#fromStart = true;
    this.#work = { kind: "waiting", confirm: now, until: now + this.#backoffMs };
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
    this.#lease.tick(true);
  }

  #retry({ confirm, until }: Work & { kind: "waiting" }): void {
    if (this.#options.clock.monotonic() < until) return;
    if (this.#lease.confirmedSince(confirm)) this.#startOwner();
    else this.#lease.tick(true);
  }

  #leaseLost(): void {
    const { log, partition } = this.#options;
    log.warn({ partition }, "the lease was lost");
    this.abandon();
  }

  async #handOver(owner: PartitionOwner): Promise<void> {
    const work: Work = { kind: "handing-over", owner };
    this.#work = work;
    await owner.close();
    if (this.#work !== work) return;
    this.#work = { kind: "none" };
    this.#lease.release();
  }
}
