import { LRUCache } from "lru-cache";
import type { Clock } from "../clock/clock.ts";
import { type Rate, TokenBucket } from "../clock/token-bucket.ts";

export interface AdmissionLimits {
  /** Connections at once. */
  maxConnections: number;
  /**
   * Connections at once from one address. Infinity, the default, because a proxy or a mobile
   * operator puts a whole city behind one address.
   */
  maxConnectionsPerAddress: number;
  connects: Rate;
  /** Undefined: not limited, for the same reason. */
  connectsPerAddress: Rate | undefined;
}

export const ADMISSION_DEFAULTS: AdmissionLimits = {
  maxConnections: 1_000_000,
  maxConnectionsPerAddress: Number.POSITIVE_INFINITY,
  connects: { perSecond: 20_000, burst: 20_000 },
  connectsPerAddress: undefined,
};

/** How many addresses' rates are remembered: those that connected last. */
const REMEMBERED_ADDRESSES = 10_000;

/**
 * Who may connect, decided before any work is spent on TLS, HTTP or tokens. One for all listeners
 * of a node.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #clock: Clock;
  readonly #connects: TokenBucket;
  readonly #perAddress = new Map<string, number>();
  readonly #rates = new LRUCache<string, TokenBucket>({ max: REMEMBERED_ADDRESSES });
  #connections = 0;
  #refused = 0;

  constructor(clock: Clock, limits: Partial<AdmissionLimits> = {}) {
    this.#limits = { ...ADMISSION_DEFAULTS, ...limits };
    this.#clock = clock;
    this.#connects = new TokenBucket(this.#limits.connects, clock.monotonic());
  }

  /** Counts a connection in, unless a limit is reached. `leave` counts it out. */
  enter(address: string): boolean {
    const { maxConnections, maxConnectionsPerAddress } = this.#limits;
    const fromThere = this.#perAddress.get(address) ?? 0;
    if (
      this.#connections >= maxConnections ||
      fromThere >= maxConnectionsPerAddress ||
      !this.#withinRates(address)
    ) {
      this.#refused += 1;
      return false;
    }
    this.#connections += 1;
    this.#perAddress.set(address, fromThere + 1);
    return true;
  }

  leave(address: string): void {
    this.#connections -= 1;
    const fromThere = this.#perAddress.get(address) ?? 0;
    if (fromThere > 1) this.#perAddress.set(address, fromThere - 1);
    else this.#perAddress.delete(address);
  }

  get connections(): number {
    return this.#connections;
  }

  /** How many were turned away since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** The address's own rate first: what it wastes must not use up everybody's. */
  #withinRates(address: string): boolean {
    const now = this.#clock.monotonic();
    return this.#withinOwnRate(address, now) && this.#connects.take(now);
  }

  #withinOwnRate(address: string, now: number): boolean {
    const rate = this.#limits.connectsPerAddress;
    if (rate === undefined) return true;
    let bucket = this.#rates.get(address);
    if (bucket === undefined) {
      bucket = new TokenBucket(rate, now);
      this.#rates.set(address, bucket);
    }
    return bucket.take(now);
  }
}
