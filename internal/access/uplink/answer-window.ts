/**
 * Which uplinks of a device were forwarded lately, and how they were answered, so that one sent
 * again is answered again and not forwarded again. It belongs to the device and not to the connection:
 * a client sends again exactly when its connection was lost.
 */
import type { UplinkOutcome } from "./outcome.ts";
import { payloadBytes } from "./outcome.ts";

/** An uplink in the window: under way, or answered. */
export type Remembered<E> = { underWay: E } | { answered: UplinkOutcome };

/** Of one device. */
const MOST_UPLINKS = 64;
const MOST_PAYLOAD_BYTES = 512 * 1024;

export class AnswerWindow<E> {
  readonly #uplinks = new Map<string, Remembered<E>>();
  #payloadBytes = 0;

  find(key: string): Remembered<E> | undefined {
    return this.#uplinks.get(key);
  }

  begin(key: string, exchange: E): void {
    this.#drop(key);
    this.#uplinks.set(key, { underWay: exchange });
    if (this.#uplinks.size > MOST_UPLINKS) this.#dropOldest();
  }

  /** Remembers the answer, if the window still has this exchange. Returns the bytes it takes. */
  answer(key: string, exchange: E, answered: UplinkOutcome): number {
    if (!this.#holds(key, exchange)) return 0;
    const bytes = payloadBytes(answered.payload);
    this.#uplinks.set(key, { answered });
    this.#payloadBytes += bytes;
    while (this.#payloadBytes > MOST_PAYLOAD_BYTES) this.#dropOldest();
    return bytes;
  }

  /** The business does not have it: sent again, it is a new uplink. */
  forget(key: string, exchange: E): void {
    if (this.#holds(key, exchange)) this.#uplinks.delete(key);
  }

  #holds(key: string, exchange: E): boolean {
    const found = this.#uplinks.get(key);
    return found !== undefined && "underWay" in found && found.underWay === exchange;
  }

  #dropOldest(): void {
    for (const key of this.#uplinks.keys()) {
      this.#drop(key);
      return;
    }
  }

  #drop(key: string): void {
    const found = this.#uplinks.get(key);
    if (found === undefined) return;
    this.#uplinks.delete(key);
    if ("answered" in found) this.#payloadBytes -= payloadBytes(found.answered.payload);
  }
}

/** How long a window is kept at least after its last use, milliseconds; twice that at most. */
export const WINDOW_MS = 60_000;
/** Answers that are kept on a node; beyond it the older half of the windows goes early. */
const MOST_BYTES_OF_NODE = 64 * 1024 * 1024;

/**
 * The windows of a node's devices, in two generations: what was used in the present one or the one
 * before is there, and dropping the rest is one assignment.
 */
export class AnswerWindows<E> {
  #present = new Map<string, AnswerWindow<E>>();
  #previous = new Map<string, AnswerWindow<E>>();
  #beganAtMs = 0;
  #payloadBytes = 0;

  of(app: string, device: string, nowMs: number): AnswerWindow<E> {
    if (nowMs - this.#beganAtMs >= WINDOW_MS) this.#turn(nowMs);
    const key = `${app}\n${device}`;
    let window = this.#present.get(key);
    if (window === undefined) {
      window = this.#previous.get(key) ?? new AnswerWindow<E>();
      this.#present.set(key, window);
    }
    return window;
  }

  /** So many bytes were kept. */
  grew(bytes: number, nowMs: number): void {
    this.#payloadBytes += bytes;
    if (this.#payloadBytes > MOST_BYTES_OF_NODE / 2) this.#turn(nowMs);
  }

  #turn(nowMs: number): void {
    this.#previous = this.#present;
    this.#present = new Map();
    this.#beganAtMs = nowMs;
    this.#payloadBytes = 0;
  }
}
