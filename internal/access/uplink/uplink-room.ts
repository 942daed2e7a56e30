import { UPLINK_STREAM } from "../../../streams/layout.ts";
import type { Business } from "../../../streams/records.ts";
import { UPLINK_FILTER } from "../../../streams/subjects.ts";
import type { Streams } from "../../bus/contract.ts";
import { storedBytes, uplinkLimit } from "../../businesses/stored-uplinks.ts";
import type { Random } from "../../clock/clock.ts";
import type { Wheel } from "../../clock/wheel.ts";

const ASK_EVERY_MS = 2_000;

/** A business that reads a stream, as far as its room there goes. */
export interface Tenant {
  readonly subject: string;
  readonly settings: Pick<Business, "maxStoredBytes">;
}

/**
 * Which businesses have as many uplinks waiting as they may. Known from what the stream said last, and it is
 * asked again only while there are uplinks: what comes in between goes a little over, and the stream's
 * own bound holds all the same.
 */
export class UplinkRoom {
  readonly #streams: Pick<Streams, "state" | "sizeAt">;
  readonly #wheel: Wheel;
  readonly #random: Random;
  readonly #full = new Set<string>();
  /** Those that had uplinks since the stream was asked last. */
  #busy = new Map<string, Tenant>();
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asking = false;

  constructor(streams: Pick<Streams, "state" | "sizeAt">, wheel: Wheel, random: Random) {
    this.#streams = streams;
    this.#wheel = wheel;
    this.#random = random;
  }

  /** Asked at each uplink. */
  isFull(tenant: Tenant): boolean {
    const { subject } = tenant;
    if (this.#busy.get(subject) !== tenant) this.#busy.set(subject, tenant);
    if (!this.#asking && this.#wheel.now - this.#askedAtMs >= ASK_EVERY_MS) void this.#ask();
    return this.#full.has(subject);
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#askedAtMs = this.#wheel.now;
    const busy = [...this.#busy.values()];
    this.#busy = new Map();
    try {
      const state = await this.#streams.state(UPLINK_STREAM, UPLINK_FILTER);
      for (const { subject, settings } of busy) {
        const bytes = await storedBytes(this.#streams, subject, state, this.#random);
        if (bytes >= uplinkLimit(settings, state)) this.#full.add(subject);
        else this.#full.delete(subject);
      }
    } catch {
      // Nobody answers: what was known holds until somebody does.
    } finally {
      this.#asking = false;
    }
  }
}
