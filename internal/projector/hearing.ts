import type { Link } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

/** How often `tick` is called. */
export const TICK_MS = 250;
/** A projector that others have not heard for this long may be taken from. */
export const TAKEOVER_MS = 8_000;
/** After such a pause somebody else may own what this process thinks it owns. */
export const FREEZE_MS = TAKEOVER_MS / 2;
/** A tick this late says that the process did not run, and heard nothing meanwhile. */
const STALL_MS = 1_000;
/** A projector that misses its own beats for this long hears nobody else's either. */
const ECHO_MS = 2_500;
/** After a lost link, the others need time to find their way back too. */
const RECONNECT_GRACE_MS = 5_000;

/**
 * Whether silence of others means anything. A process that was frozen or starved, cut off from the
 * broker, or whose messages are stuck must not take its own deafness for the death of everyone else.
 */
export class Hearing {
  readonly #clock: Clock;
  readonly #link: Link;
  #tickedAt: number;
  #echoAt = Number.NEGATIVE_INFINITY;
  #goodSince: number;

  constructor(clock: Clock, link: Link) {
    this.#clock = clock;
    this.#link = link;
    this.#tickedAt = clock.monotonic();
    this.#goodSince = this.#tickedAt;
  }

  /** This projector has heard its own beat. */
  echo(): void {
    this.#echoAt = this.#clock.monotonic();
  }

  /** True while the own beats do not come back: then nobody else may hear them either. */
  get deaf(): boolean {
    return this.#clock.monotonic() - this.#echoAt > ECHO_MS;
  }

  /** True when the process did not run for so long that it may have lost what it owned. */
  get wasFrozen(): boolean {
    return this.#clock.monotonic() - this.#tickedAt > FREEZE_MS;
  }

  tick(): void {
    const now = this.#clock.monotonic();
    const stalled = now - this.#tickedAt > TICK_MS + STALL_MS;
    this.#tickedAt = now;
    if (!this.#link.connected) this.#goodSince = now + RECONNECT_GRACE_MS;
    else if (stalled || this.deaf) this.#goodSince = Math.max(this.#goodSince, now);
  }

  /** How long somebody last heard at `heardAt` has been silent while hearing was good, in ms. */
  silence(heardAt: number): number {
    return this.#clock.monotonic() - Math.max(heardAt, this.#goodSince);
  }
}
