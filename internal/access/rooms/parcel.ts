import { type BatchEncoding, batchFrame, COMPRESSED_FROM_BYTES } from "../../wire/batch-frame.ts";
import type { SharedFrame } from "../../wire/shared-frame.ts";
import { Priority } from "../session/priority.ts";
import type { Entry } from "./entry.ts";

/** From so many on, compressing well costs less than it saves in writing. */
const MANY_READERS = 1_000;

/** What a member at `after` is given next. Made and encoded once, and shared by all that stand there. */
export class Parcel {
  readonly after: number;
  /** Where it stands then. */
  readonly upTo: number;
  readonly entries: readonly Entry[];
  readonly #readers: number;
  #pushes: readonly SharedFrame[] | undefined;
  #thinned: Parcel | undefined;
  readonly #batches = new Map<BatchEncoding, readonly SharedFrame[]>();

  /** `readers`: how many stand there at most. */
  constructor(after: number, upTo: number, entries: readonly Entry[], readers: number) {
    this.#readers = readers;
    this.after = after;
    this.upTo = upTo;
    this.entries = entries;
  }

  /** The frames for a client that reads batches in this way, or none. */
  frames(batching: BatchEncoding | undefined): readonly SharedFrame[] {
    if (batching === undefined) return this.#single();
    let frames = this.#batches.get(batching);
    if (frames === undefined) {
      frames = this.#batched(batching);
      this.#batches.set(batching, frames);
    }
    return frames;
  }

  /** Without what is of low priority: for a member that is far behind. */
  get thinned(): Parcel {
    this.#thinned ??= this.entries.some(({ priority }) => priority === Priority.LOW)
      ? new Parcel(
          this.after,
          this.upTo,
          this.entries.filter(({ priority }) => priority !== Priority.LOW),
          1,
        )
      : this;
    return this.#thinned;
  }

  #single(): readonly SharedFrame[] {
    this.#pushes ??= this.entries.flatMap(({ push }) => push ?? []);
    return this.#pushes;
  }

  #batched(encoding: BatchEncoding): readonly SharedFrame[] {
    const messages = this.entries.flatMap(({ message }) => message ?? []);
    const [only] = messages;
    if (only === undefined) return [];
    if (messages.length === 1 && only.byteLength < COMPRESSED_FROM_BYTES) return this.#single();
    if (encoding === "identity") return [batchFrame(messages, encoding).frame];
    const thorough = this.#readers >= MANY_READERS;
    const { frame, compressed } = batchFrame(messages, encoding, thorough);
    // Where it does not pay, all encodings share one frame.
    return compressed ? [frame] : this.frames("identity");
  }
}
