import { refilled } from "../../clock/token-bucket.ts";
import { Envelope } from "./envelope.ts";
import type { Reply } from "./exchange.ts";
import type { Lane } from "./lane.ts";
import { ReplyOrder } from "./reply-order.ts";

/** What one connection has going with one business. Made at its first uplink. */
export class Dialogue {
  readonly lane: Lane;
  /** Names the window of its device's answers; it outlives the connection. */
  readonly windowKey: string;
  readonly envelope = new Envelope();
  /** Uplinks without an answer. */
  underWay = 0;
  /** Of a business that wants its replies in order. */
  readonly order: ReplyOrder<Reply> | undefined;
  #tokens: number;
  #atMs: number;

  constructor(lane: Lane, windowKey: string, nowMs: number) {
    const { ordered, ratePerConnection } = lane.settings;
    this.lane = lane;
    this.windowKey = windowKey;
    this.order = ordered ? new ReplyOrder() : undefined;
    this.#tokens = ratePerConnection;
    this.#atMs = nowMs;
  }

  /** Counts an uplink against the connection's rate. Returns 0, or the ms to wait for a place. */
  pace(nowMs: number): number {
    const { ratePerConnection: perSecond } = this.lane.settings;
    if (perSecond === 0) return 0;
    const rate = { perSecond, burst: perSecond };
    this.#tokens = refilled(this.#tokens, nowMs - this.#atMs, rate);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / perSecond) * 1_000);
    this.#tokens -= 1;
    return 0;
  }
}
