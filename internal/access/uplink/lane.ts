import type { Business } from "../../../streams/records.ts";
import type { BusinessCounters } from "./counters.ts";
import type { Exchange } from "./exchange.ts";
import { createHandler, type Handler, type HandlerMeans } from "./handler.ts";

const COMPLAIN_EVERY_MS = 10_000;

export interface LaneOptions {
  app: string;
  business: string;
  settings: Business;
  /** Kept when the settings change. */
  counters: BusinessCounters;
  means: HandlerMeans;
  complain: (why: string) => void;
}

/** One business at this node, as it is registered now: another lane takes over when that changes. */
export class Lane {
  readonly app: string;
  readonly business: string;
  readonly settings: Business;
  readonly counters: BusinessCounters;
  /** Exchanges without an answer. */
  underWay = 0;
  /** Another lane has taken over, or the business was deleted. */
  retired = false;
  readonly #handler: Handler;

  constructor(options: LaneOptions) {
    const { app, business, settings, counters, means } = options;
    this.app = app;
    this.business = business;
    this.settings = settings;
    this.counters = counters;
    let complainedAtMs = Number.NEGATIVE_INFINITY;
    const complain = (why: string) => {
      if (means.wheel.now - complainedAtMs < COMPLAIN_EVERY_MS) return;
      complainedAtMs = means.wheel.now;
      options.complain(why);
    };
    this.#handler = createHandler({ app, business, settings, counters, means, complain });
  }

  forward(exchange: Exchange): void {
    this.#handler.forward(exchange);
  }

  /** An exchange has its answer. */
  left(): void {
    this.underWay -= 1;
    if (this.retired && this.underWay === 0) this.#handler.close();
  }

  /** What is under way is still answered. */
  retire(): void {
    this.retired = true;
    if (this.underWay === 0) this.#handler.close();
  }
}
