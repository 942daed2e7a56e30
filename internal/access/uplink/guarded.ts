/** A business that is called and has to answer, kept from harming the node or another business. */
import {
  type BulkheadPolicy,
  bulkhead,
  type CircuitBreakerPolicy,
  circuitBreaker,
  handleAll,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  SamplingBreaker,
} from "cockatiel";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, HandlerOptions } from "./handler.ts";
import { outcome, type UplinkOutcome } from "./outcome.ts";

/** Calls a business: the difference between the kinds that answer. */
export interface Caller {
  /**
   * `request` is an encoded HandleUplinkRequest. Resolves with what the business said. Rejects when it did not do its part, with a HoldfastError:
   * `timeout`, `unavailable` when it is not there, `invalid` when its answer makes no sense.
   * `taker` is told if the business says that it has the uplink and will answer later.
   */
  call(request: Uint8Array, timeoutMs: number, taker: Taker): Promise<UplinkOutcome>;
  close(): void;
}

export interface Taker {
  taken(): void;
}

/** The circuit opens when half of the calls of 10 s fail, and there were at least 10. */
const BREAKER = { threshold: 0.5, duration: 10_000, minimumRps: 1 };
/** Then one call a time tries whether it can be closed again. */
const TRY_AGAIN_MS = 2_000;

const BUSY = outcome(UplinkStatus.BUSY, 1_000);
const OPEN = outcome(UplinkStatus.UNAVAILABLE, TRY_AGAIN_MS);
const UNAVAILABLE = outcome(UplinkStatus.UNAVAILABLE, TRY_AGAIN_MS);
const TIMEOUT = outcome(UplinkStatus.TIMEOUT);

export class GuardedHandler implements Handler {
  readonly #options: HandlerOptions;
  readonly #caller: Caller;
  readonly #bulkhead: BulkheadPolicy;
  readonly #breaker: CircuitBreakerPolicy;

  constructor(options: HandlerOptions, caller: Caller) {
    const { concurrency, queue } = options.settings;
    this.#options = options;
    this.#caller = caller;
    this.#bulkhead = bulkhead(concurrency, queue);
    this.#breaker = circuitBreaker(handleAll, {
      breaker: new SamplingBreaker(BREAKER),
      halfOpenAfter: TRY_AGAIN_MS,
    });
    this.#breaker.onBreak(() => options.complain("half of its calls fail; it is left alone"));
  }

  forward(exchange: Exchange): void {
    // Said here too, because a flood should not cost an exception each.
    if (this.#bulkhead.executionSlots + this.#bulkhead.queueSlots === 0) exchange.settle(BUSY);
    else void this.#forward(exchange);
  }

  close(): void {
    this.#caller.close();
  }

  async #forward(exchange: Exchange): Promise<void> {
    try {
      const answer = await this.#bulkhead.execute(() => this.#placed(exchange));
      if (answer !== undefined) exchange.settle(answer);
    } catch (error) {
      exchange.settle(this.#failure(error));
    }
  }

  /** It has a place. One that has waited too long for it was answered, and is not worth a call. */
  async #placed(exchange: Exchange): Promise<UplinkOutcome | undefined> {
    if (exchange.settled) return undefined;
    return this.#breaker.execute(() => {
      exchange.begun = true;
      return this.#caller.call(exchange.sealed, exchange.leftMs, exchange);
    });
  }

  #failure(error: unknown): UplinkOutcome {
    if (isBulkheadRejectedError(error)) return BUSY;
    if (isBrokenCircuitError(error)) return OPEN;
    const { code, message } = HoldfastError.from(error);
    this.#options.complain(message);
    if (code === "timeout") return TIMEOUT;
    if (code !== "unavailable") this.#options.counters.badAnswers += 1;
    return UNAVAILABLE;
  }
}
