import { bearerOf } from "../auth/bearer.ts";
import type { Link } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { PushCounters } from "./counters.ts";
import type { RateLimit } from "./rate-limit.ts";

/** Who may speak for an app. */
export interface Apps {
  /** @throws HoldfastError `unauthenticated` when the key is no app's. */
  recognize(bearer: string | undefined): void;
  /** @throws HoldfastError `unauthenticated` or `forbidden`, the same for an app that does not exist. */
  authorize(app: string, bearer: string | undefined): Promise<void> | void;
}

export interface GateOptions {
  apps: Apps;
  link: Link;
  limit: RateLimit;
  counters: PushCounters;
  clock?: Clock;
}

/** What every call passes before anything is done for it. */
export class Gate {
  readonly #o: GateOptions;
  readonly #clock: Clock;

  constructor(options: GateOptions) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** For who may not call whatever the app is; the body of the call is not read for them. */
  refuseStrangers(headers: Headers): void {
    this.#o.apps.recognize(bearerOf(headers));
  }

  /** @throws HoldfastError `unauthenticated`, `forbidden`, `unavailable` or `exhausted`. */
  async enter(app: string, headers: Headers): Promise<void> {
    await this.#admit(app, headers);
    if (!this.#o.limit.take(app)) {
      const most = this.#o.limit.perSecond;
      throw new HoldfastError("exhausted", `app: more than ${most} calls in a second; call slower`);
    }
    this.#o.counters.calls++;
  }

  /** As `enter`, for one item of a stream: it is held up rather than refused when it comes too fast. */
  async enterInStream(app: string, headers: Headers): Promise<void> {
    await this.#admit(app, headers);
    const delayMs = this.#o.limit.reserve(app);
    if (delayMs > 0) await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
    this.#o.counters.calls++;
  }

  async #admit(app: string, headers: Headers): Promise<void> {
    await this.#o.apps.authorize(app, bearerOf(headers));
    if (!this.#o.link.connected) {
      throw new HoldfastError(
        "unavailable",
        "the message broker is away; try again in some seconds",
      );
    }
  }
}
