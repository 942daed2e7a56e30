import type { SharedFrame } from "../../wire/shared-frame.ts";
import { Priority } from "./priority.ts";

/** First in, first out, without moving what stays: the read end wanders through the array. */
class Queue {
  #items: SharedFrame[] = [];
  #head = 0;

  /** How many frames it keeps in memory. */
  get held(): number {
    return this.#items.length;
  }

  push(frame: SharedFrame): void {
    this.#items.push(frame);
  }

  shift(): SharedFrame | undefined {
    const frame = this.#items[this.#head];
    if (frame === undefined) return undefined;
    this.#head += 1;
    // What was read is let go of when it is half of it: no frame is kept until the queue is empty.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return frame;
  }
}

/**
 * What waits for a client that does not keep up, by priority. Exists only while something waits:
 * a session whose socket takes everything has none.
 */
export class Outbox {
  readonly #queues = [new Queue(), new Queue(), new Queue(), new Queue()] as const;
  #bytes = 0;

  /** Bytes that wait here. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Frames that it keeps in memory. */
  get held(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.held, 0);
  }

  push(frame: SharedFrame, priority: Priority, bytes: number): void {
    this.#queues[priority].push(frame);
    this.#bytes += bytes;
  }

  /** The oldest frame of the highest priority. `sizeOf` must say what `push` was told. */
  shift(sizeOf: { sizeOf(frame: SharedFrame): number }): SharedFrame | undefined {
    for (const queue of this.#queues) {
      const frame = queue.shift();
      if (frame !== undefined) {
        this.#bytes -= sizeOf.sizeOf(frame);
        return frame;
      }
    }
    return undefined;
  }
}

export type Admittance = "keep" | "drop" | "overflow";

/** What becomes of a frame for a client that has `waiting` bytes to read already. */
export function admittance(
  waiting: number,
  bytes: number,
  priority: Priority,
  limits: { softLimitBytes: number; hardLimitBytes: number },
): Admittance {
  const total = waiting + bytes;
  if (priority === Priority.LOW && total > limits.softLimitBytes) return "drop";
  return total > limits.hardLimitBytes ? "overflow" : "keep";
}
