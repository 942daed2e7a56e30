import type { Surroundings } from "./surroundings.ts";

/** How long to wait for each pong before asking again; after the last the connection is dead. */
const PONG_WAITS_MS = [2_000, 4_000, 8_000] as const;
/** Without advice for the background, this part of the idle limit is used there. */
const BACKGROUND_SHARE_OF_IDLE = 0.6;

export interface HeartbeatOptions {
  surroundings: Surroundings;
  heartbeatMs: number;
  /** 0: unknown. */
  idleMs: number;
  ping(foreground: boolean): void;
  /** A pong came. */
  beat(rttMs: number, nextMs: number): void;
  /** Every ping of a series went unanswered. */
  dead(): void;
}

/**
 * The heartbeat of one connection, driven by the client: at least as often as Welcome asks, and as
 * often as the latest Pong says. In the background, where a wake-up costs battery, it goes as slowly
 * as the gateway lets it. Unanswered pings are repeated with growing waits first, as one lost packet
 * or a busy radio is no dead connection.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #advisedMs = 0;
  #sentAtMs = 0;
  /** Unanswered pings. */
  #missed = 0;
  #cancel: () => void = () => {};

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#ping();
  }

  /** The answer to a ping; `advisedSeconds` is the interval from now on, 0 when Welcome's holds. */
  pong(advisedSeconds: number): void {
    this.#advisedMs = advisedSeconds * 1000;
    const intervalMs = this.#intervalMs();
    // Which of several pings this answers is not known, so it tells no time.
    if (this.#missed === 1) {
      const { surroundings, beat } = this.#options;
      beat(Math.max(0, surroundings.now() - this.#sentAtMs), intervalMs);
    }
    this.#missed = 0;
    this.#next(intervalMs, () => this.#ping());
  }

  /** Pings now: the application was looked at or left, or the network changed. */
  probe(): void {
    if (this.#missed === 0) this.#ping();
  }

  stop(): void {
    this.#cancel();
  }

  #ping(): void {
    const waitMs = PONG_WAITS_MS[this.#missed];
    if (waitMs === undefined) {
      this.#cancel();
      this.#options.dead();
      return;
    }
    this.#missed += 1;
    this.#sentAtMs = this.#options.surroundings.now();
    this.#options.ping(this.#options.surroundings.foreground());
    this.#next(waitMs, () => this.#ping());
  }

  #intervalMs(): number {
    const { heartbeatMs, idleMs, surroundings } = this.#options;
    if (this.#advisedMs > 0) return this.#advisedMs;
    if (surroundings.foreground()) return heartbeatMs;
    return Math.max(heartbeatMs, idleMs * BACKGROUND_SHARE_OF_IDLE);
  }

  #next(delayMs: number, fire: () => void): void {
    this.#cancel();
    this.#cancel = this.#options.surroundings.after(delayMs, fire);
  }
}
