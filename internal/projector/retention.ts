import { MAIL_STREAM } from "../../streams/layout.ts";
import type { Business } from "../../streams/records.ts";
import { businessKey } from "../../streams/subjects.ts";
import type { Appender, Bucket, Link, Streams, Subscription } from "../bus/contract.ts";
import { followBusinesses } from "../businesses/registry.ts";
import type { Clock, Random, Timer } from "../clock/clock.ts";
import type { Logger } from "../observe/logger.ts";
import { LogTrim } from "./log-trim.ts";
import { purgeState } from "./state-purge.ts";
import { purgeUplinks } from "./uplink-purge.ts";

const ROUND_MS = 5_000;
const REPORT_EVERY_MS = 60_000;
const NEARLY_FULL = 0.8;

export interface RetentionOptions {
  streams: Streams;
  buckets: {
    /** `hf_checkpoint` */
    checkpoint: Bucket;
    /** `hf_app` */
    app: Bucket;
    /** `hf_business` */
    business: Bucket;
  };
  /** To the log. */
  appender: Appender;
  clock: Clock;
  random: Random;
  link: Link;
  log: Pick<Logger, "info" | "warn">;
  partitions: number;
  logStreams: number;
  /** Whether this projector owns a partition now. */
  owns(partition: number): boolean;
}

/**
 * Makes room in the streams, which discard nothing by themselves: they refuse. Each stream of the log is
 * looked after by the owner of its first partition, the others by the owner of partition 0.
 */
export class Retention implements Disposable {
  readonly #options: RetentionOptions;
  readonly #trims: readonly LogTrim[];
  readonly #businesses = new Map<string, Business>();
  #watch: Subscription | undefined;
  #timer: Timer | undefined;
  #busy = false;
  #reportedAt = Number.NEGATIVE_INFINITY;

  private constructor(options: RetentionOptions) {
    const { buckets, logStreams } = options;
    this.#options = options;
    this.#trims = Array.from(
      { length: logStreams },
      (_, index) => new LogTrim({ ...options, checkpoints: buckets.checkpoint, index }),
    );
  }

  static async start(options: RetentionOptions): Promise<Retention> {
    const retention = new Retention(options);
    retention.#watch = await followBusinesses(
      options.buckets.business,
      (app, business, record) => {
        const key = businessKey(app, business);
        if (record === undefined) retention.#businesses.delete(key);
        else retention.#businesses.set(key, record);
      },
      (key, err) => options.log.warn({ key, err }, "a registered business cannot be read"),
    );
    retention.#timer = options.clock.every(ROUND_MS, () => void retention.#round());
    return retention;
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
    this.#timer?.cancel();
  }

  async #round(): Promise<void> {
    const { owns, link } = this.#options;
    if (this.#busy || !link.connected) return;
    this.#busy = true;
    try {
      for (const [index, trim] of this.#trims.entries()) if (owns(index)) await trim.round();
      if (owns(0)) await this.#others();
    } catch (reason) {
      this.#report({ why: String(reason) }, "streams cannot be cleaned up now");
    } finally {
      this.#busy = false;
    }
  }

  async #others(): Promise<void> {
    const { streams, buckets, random } = this.#options;
    const business = (app: string, name: string) => this.#businesses.get(businessKey(app, name));
    await purgeUplinks({ streams, business, random });
    await purgeState(streams, buckets.app);
    const { bytes, maxBytes } = await streams.state(MAIL_STREAM);
    if (maxBytes <= 0 || bytes < maxBytes * NEARLY_FULL) return;
    const full = { stream: MAIL_STREAM, bytes, maxBytes };
    this.#report(full, "nearly full: must-arrive messages will be refused");
  }

  #report(what: object, message: string): void {
    const now = this.#options.clock.monotonic();
    if (now - this.#reportedAt < REPORT_EVERY_MS) return;
    this.#reportedAt = now;
    this.#options.log.warn(what, message);
  }
}
