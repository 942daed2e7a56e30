import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { uplinkSubject } from "../../../streams/subjects.ts";
import type { Appender } from "../../bus/contract.ts";
import type { Exchange } from "./exchange.ts";
import type { Handler, HandlerOptions } from "./handler.ts";
import { outcome, type UplinkOutcome } from "./outcome.ts";
import type { Tenant, UplinkRoom } from "./uplink-room.ts";

const STORED = outcome(UplinkStatus.OK);
const TOO_LARGE = outcome(UplinkStatus.TOO_LARGE);
const BUSY = outcome(UplinkStatus.BUSY, 1_000);
/** The business has to read first. */
const FULL = outcome(UplinkStatus.BUSY, 5_000);

/**
 * Into the stream of uplinks, where the business finds them whenever it comes. Plain counters and the
 * appender's window: thousands a second of one business are usual here.
 */
export class StreamHandler implements Handler {
  readonly #appender: Appender;
  readonly #room: UplinkRoom;
  readonly #tenant: Tenant;
  /** A place in the queue is worth as much as one under way: both wait for the stream. */
  readonly #most: number;
  #underWay = 0;

  constructor({ app, business, settings, means }: HandlerOptions) {
    this.#appender = means.appender;
    this.#room = means.room;
    this.#tenant = { subject: uplinkSubject(app, business), settings };
    this.#most = settings.concurrency + settings.queue;
  }

  forward(exchange: Exchange): void {
    if (!this.#appender.ready || this.#underWay >= this.#most) {
      exchange.settle(BUSY);
      return;
    }
    if (this.#room.isFull(this.#tenant)) {
      exchange.settle(FULL);
      return;
    }
    exchange.begun = true;
    this.#underWay += 1;
    const { subject } = this.#tenant;
    this.#appender.append(subject, exchange.sealed, () => this.#ended(exchange, STORED), {
      refuseWhenFull: true,
      refused: ({ code }) => {
        exchange.begun = false;
        this.#ended(exchange, code === "invalid" ? TOO_LARGE : FULL);
      },
    });
  }

  close(): void {}

  #ended(exchange: Exchange, result: UplinkOutcome): void {
    this.#underWay -= 1;
    exchange.settle(result);
  }
}
