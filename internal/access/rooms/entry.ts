import {
  messageOfPush,
  priorityNumberOf,
  pushOfMessage,
  stamped,
} from "../../wire/message-bytes.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import { Priority, priorityOf } from "../session/priority.ts";

export interface Place {
  position: number;
  previous: number;
}

/** What an entry takes in memory besides its message, and how often it has that: as it is, and framed. */
const OVERHEAD_BYTES = 300;
const COPIES = 3;

/** One message of a channel: its place, and its bytes in every form that is wanted. */
export class Entry {
  readonly position: number;
  /** The position of the channel's message before it, as the stream says; 0 when it keeps none. */
  readonly previous: number;
  readonly priority: Priority;
  /**
   * An encoded Message that says its position. Undefined for what is none, which only a publisher that
   * does not speak the protocol can cause: it has its place, and nobody is given it.
   */
  readonly message: Uint8Array | undefined;
  #push: SharedFrame | undefined;

  private constructor(place: Place, priority: Priority, message: Uint8Array | undefined) {
    this.position = place.position;
    this.previous = place.previous;
    this.priority = priority;
    this.message = message;
  }

  /** Of an encoded push. `failed` hears why it is none. */
  static of(place: Place, frame: Uint8Array, failed: (error: unknown) => void): Entry {
    try {
      const message = messageOfPush(frame);
      const priority = priorityOf(priorityNumberOf(message));
      return new Entry(place, priority, stamped(message, place.position));
    } catch (error) {
      failed(error);
      return new Entry(place, Priority.NORMAL, undefined);
    }
  }

  /** What a client is sent. */
  get bytes(): number {
    return this.message?.byteLength ?? 0;
  }

  /** What it takes in memory. */
  get memory(): number {
    return this.bytes * COPIES + OVERHEAD_BYTES;
  }

  /** A value of its metadata; undefined when it has none of this name. */
  metadata(name: string): string | undefined {
    return this.push?.message.body.case === "push"
      ? this.push.message.body.value.message?.metadata[name]
      : undefined;
  }

  /** As a frame of its own, encoded once for all members. */
  get push(): SharedFrame | undefined {
    if (this.message !== undefined) {
      this.#push ??= SharedFrame.fromBinary(pushOfMessage(this.message));
    }
    return this.#push;
  }
}

/** The index of the first entry above `position`, of those in order from index `from`. */
export function indexAbove(entries: readonly Entry[], position: number, from = 0): number {
  let low = from;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.position ?? 0) > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
