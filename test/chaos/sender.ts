/** A business server that sends must-arrive messages and writes down which were accepted. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../internal/clock/clock.ts";
import { call, DEV_KEY } from "../support/gateway.ts";
import { pick, seededRandom } from "../support/seeded-random.ts";
import type { History } from "./history.ts";

export interface SenderOptions {
  pushUrl: string;
  devices: readonly string[];
  history: History;
  seed: number;
  /** Pairs of message and device a second, on average; what an outage held up is made up for. */
  perSecond: number;
}

export interface SenderReport {
  accepted: number;
  /** Not taken, by reason. */
  refused: Record<string, number>;
  /** Calls that failed or timed out, and were made again with the same message id. */
  retriedCalls: number;
}

interface PushAnswer {
  results: { target: string; status: string; reason?: string }[];
}

/** Devices are shared out to lanes, and a lane makes one call after another: so each device has an order. */
const LANES = 64;
const TARGETS_OF_A_CALL = 8;
const CALL_TIMEOUT_MS = 8_000;
const RETRY_AFTER_MS = 250;
/** A share of the messages may wait for no longer than this. */
const SHORT_TTL_SECONDS = 4;
const SHARE_OF_SHORT_TTL = 0.02;
const METHOD = "holdfast.push.v1.PushService/PushToDevices";

/** Sends until told to stop, then finishes the calls it has begun. */
export async function sendUntil(stop: AbortSignal, options: SenderOptions): Promise<SenderReport> {
  const report: SenderReport = { accepted: 0, refused: {}, retriedCalls: 0 };
  const lanes = Array.from({ length: LANES }, (_, index) => new Lane(index, options, report));
  await Promise.all(lanes.map((lane) => lane.run(stop)));
  return report;
}

class Lane {
  readonly #name: string;
  readonly #options: SenderOptions;
  readonly #report: SenderReport;
  readonly #devices: readonly string[];
  readonly #random: Random;
  #sent = 0;

  constructor(index: number, options: SenderOptions, report: SenderReport) {
    this.#name = `lane${index}`;
    this.#options = options;
    this.#report = report;
    this.#devices = options.devices.filter((_, at) => at % LANES === index);
    this.#random = seededRandom(options.seed * LANES + index);
  }

  async run(stop: AbortSignal): Promise<void> {
    const everyMs = (1_000 * LANES * TARGETS_OF_A_CALL) / this.#options.perSecond;
    let nextAt = performance.now() + this.#random() * everyMs;
    while (!stop.aborted && this.#devices.length > 0) {
      await sleep(Math.max(0, nextAt - performance.now()));
      nextAt += everyMs;
      await this.#sendOne();
    }
  }

  async #sendOne(): Promise<void> {
    const message = `${this.#name}-${++this.#sent}`;
    const targets = new Set<string>();
    for (let n = 0; n < TARGETS_OF_A_CALL; n++) targets.add(pick(this.#random, this.#devices));
    const short = this.#random() < SHARE_OF_SHORT_TTL;
    const request = {
      app: "demo",
      message: { messageId: message, business: "chaos", text: [...targets].join(",") },
      options: { delivery: "MUST_ARRIVE", ...(short && { ttlSeconds: SHORT_TTL_SECONDS }) },
    };
    while (targets.size > 0) {
      const results = await this.#push({ ...request, devices: [...targets] });
      if (results === undefined) {
        this.#report.retriedCalls++;
        await sleep(RETRY_AFTER_MS);
        continue;
      }
      for (const { target, status, reason = "" } of results) {
        if (reason.startsWith("unavailable")) continue;
        if (status === "ACCEPTED" || status === "DUPLICATE") this.#accepted(message, target);
        else this.#refused(reason);
        targets.delete(target);
      }
      if (targets.size > 0) await sleep(RETRY_AFTER_MS);
    }
  }

  /** Undefined when nobody knows what has become of the call. */
  async #push(request: unknown): Promise<PushAnswer["results"] | undefined> {
    const { pushUrl } = this.#options;
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const answer = call<PushAnswer>(pushUrl, METHOD, request, DEV_KEY, signal);
    return (await answer.catch(() => undefined))?.results;
  }

  #refused(reason: string): void {
    const { refused } = this.#report;
    refused[reason] = (refused[reason] ?? 0) + 1;
  }

  #accepted(message: string, device: string): void {
    this.#report.accepted++;
    this.#options.history.append({ did: "accepted", device, message });
  }
}
