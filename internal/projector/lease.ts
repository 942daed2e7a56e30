import { decodeJson, encodeJson, type Lease } from "../../streams/records.ts";
import { partitionKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, PutOutcome } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

/** A lease that was seen unchanged for this long may be taken over. */
export const LEASE_MS = 5_000;
/** How often the holder renews. */
export const RENEW_MS = 1_500;
/**
 * The holder stops writing this long after it sent its last successful renewal. The others count
 * from when they saw that renewal, which is later, so nobody takes over before the holder stops.
 */
export const HOLD_MS = 4_000;

type State =
  | { kind: "free" }
  | { kind: "taking" }
  | { kind: "held"; revision: number; renewedAt: number; renewing: boolean; releasing: boolean };

export interface PartitionLeaseOptions {
  /** This projector's id, never used by another process. */
  id: string;
  partition: number;
  bucket: Bucket;
  clock: Clock;
  /** The lease was taken. */
  taken(): void;
  /** The lease is somebody else's, or could not be renewed in time. */
  lost(): void;
}

/**
 * The right to own one partition. No two wall clocks are compared: each side measures durations
 * with its own monotonic clock, and every change of the lease is a compare-and-set.
 */
export class PartitionLease {
  readonly #options: PartitionLeaseOptions;
  readonly #key: string;
  #state: State = { kind: "free" };
  /** What the bucket was last seen to say, and since when. */
  #seen: { lease: Lease; revision: number; at: number };
  /** One put at a time for a key. */
  #writing = false;
  /** The monotonic time at which the last successful renewal or taking was sent. */
  #confirmedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PartitionLeaseOptions) {
    this.#options = options;
    this.#key = partitionKey(options.partition);
    const at = options.clock.monotonic();
    this.#seen = { lease: { owner: "", renewal: 0 }, revision: 0, at };
  }

  /** Who holds the lease as far as can be seen, "" for nobody. */
  get owner(): string {
    return this.#seen.lease.owner;
  }

  /** Held, and may be acted upon. */
  get valid(): boolean {
    const state = this.#state;
    return (
      state.kind === "held" &&
      !state.releasing &&
      this.#options.clock.monotonic() - state.renewedAt < HOLD_MS
    );
  }

  /** Nobody's, this projector's own from a lost answer, or its holder has let it run out. */
  get takeable(): boolean {
    if (this.#state.kind !== "free" || this.#writing) return false;
    const { lease, at } = this.#seen;
    return (
      lease.owner === "" ||
      lease.owner === this.#options.id ||
      this.#options.clock.monotonic() - at >= LEASE_MS
    );
  }

  /** True once a taking or renewal that was sent after this monotonic time has succeeded. */
  confirmedSince(monotonic: number): boolean {
    return this.valid && this.#confirmedAt > monotonic;
  }

  /** Called with every change of the lease in the bucket. */
  observe(entry: Entry): void {
    if (entry.revision <= this.#seen.revision) return;
    const lease =
      entry.value === undefined ? { owner: "", renewal: 0 } : decodeJson<Lease>(entry.value);
    this.#see(lease, entry.revision);
    const state = this.#state;
    if (state.kind === "held" && entry.revision > state.revision) {
      if (lease.owner !== this.#options.id) this.#lose();
    }
  }

  take(): void {
    if (!this.takeable) return;
    this.#state = { kind: "taking" };
    this.#write(this.#options.id, this.#seen.revision, (outcome, sentAt) => {
      if (this.#state.kind !== "taking") return;
      if (outcome.kind !== "stored") {
        this.#state = { kind: "free" };
        return;
      }
      const { revision } = outcome;
      this.#confirmedAt = sentAt;
      this.#state = {
        kind: "held",
        revision,
        renewedAt: sentAt,
        renewing: false,
        releasing: false,
      };
      if (this.valid) this.#options.taken();
      else this.#lose();
    });
  }

  /** Renews when it is time, or `now`; gives up what could not be renewed in time. */
  tick(now = false): void {
    const state = this.#state;
    if (state.kind !== "held") return;
    const age = this.#options.clock.monotonic() - state.renewedAt;
    if (age >= HOLD_MS) {
      this.#lose();
    } else if (!state.renewing && !state.releasing && (now || age >= RENEW_MS)) {
      this.#renew(state);
    }
  }

  /** Gives the lease up for others to take at once. Its holder has stopped writing. */
  release(): void {
    const state = this.#state;
    if (state.kind !== "held" || state.releasing) return;
    state.releasing = true;
    if (!state.renewing) this.#writeRelease(state);
  }

  #renew(state: State & { kind: "held" }): void {
    state.renewing = true;
    this.#write(this.#options.id, state.revision, (outcome, sentAt) => {
      if (this.#state !== state) return;
      state.renewing = false;
      if (outcome.kind === "conflict") {
        this.#lose();
      } else if (outcome.kind === "stored") {
        state.revision = outcome.revision;
        state.renewedAt = sentAt;
        this.#confirmedAt = sentAt;
      } else if (this.owner === this.#options.id) {
        // It may have been stored all the same; the watch tells.
        state.revision = Math.max(state.revision, this.#seen.revision);
      }
      if (state.releasing) this.#writeRelease(state);
    });
  }

  #writeRelease(state: State & { kind: "held" }): void {
    this.#write("", state.revision, () => {
      if (this.#state === state) this.#state = { kind: "free" };
    });
  }

  #write(
    owner: string,
    expected: number,
    done: (outcome: PutOutcome, sentAt: number) => void,
  ): void {
    const { bucket, clock } = this.#options;
    const lease: Lease = { owner, renewal: this.#seen.lease.renewal + 1 };
    const sentAt = clock.monotonic();
    this.#writing = true;
    bucket.put(this.#key, encodeJson(lease), expected, (outcome) => {
      this.#writing = false;
      if (outcome.kind === "stored" && outcome.revision > this.#seen.revision) {
        this.#see(lease, outcome.revision);
      }
      done(outcome, sentAt);
    });
  }

  #see(lease: Lease, revision: number): void {
    this.#seen = { lease, revision, at: this.#options.clock.monotonic() };
  }

  #lose(): void {
    this.#state = { kind: "free" };
    this.#options.lost();
  }
}
