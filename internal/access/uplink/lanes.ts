import type { Business } from "../../../streams/records.ts";
import type { Appender, Bucket, Messages, Streams, Subscription } from "../../bus/contract.ts";
import { followBusinesses } from "../../businesses/registry.ts";
import type { Random } from "../../clock/clock.ts";
import type { Wheel } from "../../clock/wheel.ts";
import type { Logger } from "../../observe/logger.ts";
import type { AccessMetrics } from "../metrics.ts";
import { type BusinessCounters, newBusinessCounters } from "./counters.ts";
import type { HandlerMeans } from "./handler.ts";
import { Lane } from "./lane.ts";
import { RequestInbox } from "./request-inbox.ts";
import { UplinkRoom } from "./uplink-room.ts";

export interface LanesOptions {
  /** `hf_business` */
  businesses: Bucket;
  /** For stream HF_UPLINK. */
  appender: Appender;
  streams: Pick<Streams, "state" | "sizeAt">;
  random: Random;
  messages: Messages;
  wheel: Wheel;
  metrics: AccessMetrics;
  logger: Logger;
}

/** The businesses that are registered, each with a lane at this node. */
export class Lanes implements Disposable {
  readonly #means: HandlerMeans;
  readonly #logger: Logger;
  readonly #apps = new Map<string, Map<string, Lane>>();
  #watch: Subscription | undefined;

  private constructor(options: LanesOptions) {
    const { appender, streams, random, messages, wheel, metrics, logger } = options;
    const late = () => {
      metrics.uplinkAnswersLate += 1;
    };
    const room = new UplinkRoom(streams, wheel, random);
    this.#means = { appender, room, wheel, inbox: new RequestInbox(messages, wheel, late) };
    this.#logger = logger;
  }

  /** Resolves when every business that is registered now is known. */
  static async follow(options: LanesOptions): Promise<Lanes> {
    const lanes = new Lanes(options);
    lanes.#watch = await followBusinesses(
      options.businesses,
      (app, business, record) => lanes.#change(app, business, record),
      (key, err) => options.logger.error({ key, err }, "a registered business cannot be read"),
    );
    return lanes;
  }

  find(app: string, business: string): Lane | undefined {
    return this.#apps.get(app)?.get(business);
  }

  *[Symbol.iterator](): Iterator<Lane> {
    for (const lanes of this.#apps.values()) yield* lanes.values();
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
    for (const lane of this) lane.retire();
    this.#means.inbox[Symbol.dispose]();
  }

  #change(app: string, business: string, record: Business | undefined): void {
    const before = this.find(app, business);
    // A watch that was interrupted tells of everything again.
    if (before !== undefined && same(before.settings, record)) return;
    before?.retire();
    if (record === undefined) {
      this.#apps.get(app)?.delete(business);
      return;
    }
    const lane = this.#lane(app, business, record, before?.counters ?? newBusinessCounters());
    const lanes = this.#apps.get(app);
    if (lanes === undefined) this.#apps.set(app, new Map([[business, lane]]));
    else lanes.set(business, lane);
  }

  #lane(app: string, business: string, settings: Business, counters: BusinessCounters): Lane {
    const complain = (why: string) =>
      this.#logger.warn({ app, business, why }, "the business does not take its uplinks");
    return new Lane({ app, business, settings, counters, means: this.#means, complain });
  }
}

function same(a: Business, b: Business | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
