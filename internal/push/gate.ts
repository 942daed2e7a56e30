import type { HandlerContext } from "@connectrpc/connect";
import type { ApiKey } from "../../streams/records.ts";
import { checkScope, type Use } from "../auth/api-keys.ts";
import { bearerOf } from "../auth/bearer.ts";
import type { Link } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { PushCounters } from "./counters.ts";
import type { KeyRateLimit, RateLimit } from "./rate-limit.ts";

/** Who may speak for an app. */
export interface Apps {
  /** @throws HoldfastError `unauthenticated` when the key is no app's. */
  recognize(bearer: string | undefined): void;
  /** @throws HoldfastError `unauthenticated`, the same for an app that does not exist. */
  authorize(app: string, bearer: string | undefined): ApiKey;
}

/** Of a call: who makes it, and what it calls. */
export type CallContext = Pick<HandlerContext, "requestHeader"> & {
  method: Pick<HandlerContext["method"], "name">;
};

/** What a call is about, for the scope of its key. Without `targets` it is about nobody in particular. */
export type About = Omit<Partial<Use>, "rpc">;

export interface GateOptions {
  apps: Apps;
  link: Link;
  limit: RateLimit;
  /** Of keys with a rate of their own. */
  keyLimit: KeyRateLimit;
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
  enter(app: string, context: CallContext, about: About = {}): void {
    const key = this.#admit(app, context, about);
    if (!this.#o.limit.take(app)) {
      const most = this.#o.limit.perSecond;
      throw new HoldfastError("exhausted", `app: more than ${most} calls in a second; call slower`);
    }
    const { callsPerSecond } = key.scope;
    if (callsPerSecond > 0 && !this.#o.keyLimit.take(key.id, callsPerSecond)) {
      throw new HoldfastError(
        "exhausted",
        `this key: more than ${callsPerSecond} calls in a second; call slower`,
      );
    }
    this.#o.counters.calls++;
  }

  /** As `enter`, for one item of a stream: it is held up rather than refused when it comes too fast. */
  async enterInStream(app: string, context: CallContext, about: About): Promise<void> {
    const key = this.#admit(app, context, about);
    const { callsPerSecond } = key.scope;
    const delayMs = Math.max(
      this.#o.limit.reserve(app),
      callsPerSecond > 0 ? this.#o.keyLimit.reserve(key.id, callsPerSecond) : 0,
    );
    if (delayMs > 0) await new Promise<void>((resolve) => this.#clock.after(delayMs, resolve));
    this.#o.counters.calls++;
  }

  #admit(app: string, { requestHeader, method }: CallContext, about: About): ApiKey {
    const key = this.#o.apps.authorize(app, bearerOf(requestHeader));
    checkScope(key.scope, { rpc: method.name, targets: [], ...about });
    if (!this.#o.link.connected) {
      throw new HoldfastError(
        "unavailable",
        "the message broker is away; try again in some seconds",
      );
    }
    return key;
  }
}
