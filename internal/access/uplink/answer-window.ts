/**
 * Which uplinks of a device to a business were forwarded lately, and how they were answered, so that
 * one sent again is answered again and not forwarded again. It belongs to the device and not to the
 * connection: a client sends again exactly when its connection was lost.
 */
import { payloadLength } from "../../wire/payload.ts";
import type { UplinkOutcome } from "./outcome.ts";

/** Of one device and business. */
const MOST_UPLINKS = 64;
const MOST_PAYLOAD_BYTES = 512 * 1024;

/** Uplinks are named by their request ids. `E` is an exchange: an uplink that is under way. */
export class AnswerWindow<E extends object> {
  readonly #uplinks = new Map<string, E | UplinkOutcome>();
  #payloadBytes = 0;

  /** The exchange of one that is under way, or how it was answered. */
  find(requestId: string): E | UplinkOutcome | undefined {
    return this.#uplinks.get(requestId);
  }

  begin(requestId: string, exchange: E): void {
    this.#drop(requestId);
    this.#uplinks.set(requestId, exchange);
    if (this.#uplinks.size > MOST_UPLINKS) this.#dropOldest();
  }

  /** Remembers the answer, if the window still has this exchange. Returns the bytes it takes. */
  answer(requestId: string, exchange: E, answered: UplinkOutcome): number {
    if (this.#uplinks.get(requestId) !== exchange) return 0;
    const bytes = payloadLength(answered.payload);
    this.#uplinks.set(requestId, answered);
    this.#payloadBytes += bytes;
    while (this.#payloadBytes > MOST_PAYLOAD_BYTES) this.#dropOldest();
    return bytes;
  }

  /** The business does not have it: sent again, it is a new uplink. */
  forget(requestId: string, exchange: E): void {
    if (this.#uplinks.get(requestId) === exchange) this.#uplinks.delete(requestId);
  }

  #dropOldest(): void {
    for (const requestId of this.#uplinks.keys()) {
      this.#drop(requestId);
      return;
    }
  }

  #drop(requestId: string): void {
    const found = this.#uplinks.get(requestId);
    if (found === undefined) return;
    this.#uplinks.delete(requestId);
    if (isAnswer(found)) this.#payloadBytes -= payloadLength(found.payload);
  }
}

function isAnswer(found: object): found is UplinkOutcome {
  return "status" in found;
}

/** How long a window is kept at least after its last use, milliseconds; twice that at most. */
export const WINDOW_MS = 60_000;
/** Answers that are kept on a node; beyond it the older half of the windows goes early. */
const MOST_BYTES_OF_NODE = 64 * 1024 * 1024;

/** The name of a window. */
export function windowKey(app: string, device: string, business: string): string {
  return `${app}\n${device}\n${business}`;
}

/**
 * The windows of a node's devices, in two generations: what was used in the present one or the one
 * before is there, and dropping the rest is one assignment.
 */
export class AnswerWindows<E extends object> {
  #present = new Map<string, AnswerWindow<E>>();
  #previous = new Map<string, AnswerWindow<E>>();
  #beganAtMs = 0;
  #payloadBytes = 0;

  /** `key`: see `windowKey`. */
  of(key: string, nowMs: number): AnswerWindow<E> {
    if (nowMs - this.#beganAtMs >= WINDOW_MS) this.#turn(nowMs);
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
