import { logStream, MAIL_STREAM } from "../../streams/layout.ts";
import type { StreamState, Streams } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";

const ASK_EVERY_MS = 1_000;
/** What is left of the log is for the nodes: a connection that cannot be written down cannot be made. */
const LOG_FULL_ABOVE = 0.8;
/** What was accepted by then and cannot be delivered has to find room. */
const MAIL_FULL_ABOVE = 0.9;

/**
 * Whether there is room for more must-arrive messages: what is accepted is kept until it is delivered or its
 * time is over, so it must not be accepted when there is no room to keep it. Asked again only while there
 * are messages; what comes in between is bounded by the streams themselves.
 */
export class Headroom {
  readonly #streams: Pick<Streams, "state">;
  readonly #logStreams: number;
  readonly #clock: Clock;
  readonly #fullLogs = new Set<number>();
  #mailFull = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking = false;

  constructor(streams: Pick<Streams, "state">, logStreams: number, clock: Clock) {
    this.#streams = streams;
    this.#logStreams = logStreams;
    this.#clock = clock;
  }

  /** Why nothing more is taken for a partition, or undefined. */
  lacking(partition: number): string | undefined {
    if (!this.#asking && this.#clock.monotonic() - this.#askedAt >= ASK_EVERY_MS) void this.#ask();
    if (this.#mailFull) return "the mailboxes together are full";
    return this.#fullLogs.has(partition % this.#logStreams) ? "the log is full" : undefined;
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#askedAt = this.#clock.monotonic();
    try {
      this.#mailFull = isFull(await this.#streams.state(MAIL_STREAM), MAIL_FULL_ABOVE);
      for (let index = 0; index < this.#logStreams; index++) {
        const state = await this.#streams.state(logStream(index, this.#logStreams));
        if (isFull(state, LOG_FULL_ABOVE)) this.#fullLogs.add(index);
        else this.#fullLogs.delete(index);
      }
    } catch {
      // Nobody answers: what was known holds until somebody does.
    } finally {
      this.#asking = false;
    }
  }
}

function isFull({ bytes, maxBytes }: StreamState, above: number): boolean {
  return maxBytes > 0 && bytes > maxBytes * above;
}
