import { LRUCache } from "lru-cache";
import { decodeJson, encodeJson, type HandledMark } from "../../../streams/records.ts";
import { handledKey } from "../../../streams/subjects.ts";
import type { Bucket, PutOutcome } from "../../bus/contract.ts";
import { HoldfastError } from "../../status/errors.ts";

const REVISIONS_KEPT = 10_000;
const TRIES = 3;

interface Known {
  readonly handled: number;
  readonly revision: number;
}

const NOTHING: Known = { handled: 0, revision: 0 };

/**
 * Up to where devices have handled their mail, in bucket `hf_mailbox`. Written before the mail is deleted,
 * so that a copy which a former owner stores later, however late, is known for what it is.
 */
export class HandledMarks {
  readonly #bucket: Bucket;
  readonly #partition: number;
  readonly #known = new LRUCache<string, Known>({ max: REVISIONS_KEPT });

  constructor(bucket: Bucket, partition: number) {
    this.#bucket = bucket;
    this.#partition = partition;
  }

  /** 0 when nothing is written. Rejects when nobody answers. */
  async of(app: string, device: string): Promise<number> {
    const key = handledKey(this.#partition, app, device);
    return (await this.#read(key)).handled;
  }

  /** Never goes back. Rejects when it could not be written. */
  async raise(app: string, device: string, handled: number): Promise<void> {
    const key = handledKey(this.#partition, app, device);
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const known = this.#known.get(key) ?? NOTHING;
      if (known.handled >= handled) return;
      const outcome = await this.#put(key, handled, known.revision);
      if (outcome.kind === "stored") {
        this.#known.set(key, { handled, revision: outcome.revision });
        return;
      }
      this.#known.delete(key);
      if (outcome.kind === "unknown") break;
      await this.#read(key);
    }
    throw new HoldfastError("unavailable", `what ${device} has handled could not be written down`);
  }

  #put(key: string, handled: number, expected: number): Promise<PutOutcome> {
    const mark: HandledMark = { handled };
    return new Promise((resolve) => this.#bucket.put(key, encodeJson(mark), expected, resolve));
  }

  async #read(key: string): Promise<Known> {
    let known = NOTHING;
    for await (const { value, revision } of this.#bucket.list(key)) {
      const mark = value === undefined ? undefined : decodeJson<HandledMark>(value);
      known = { handled: mark?.handled ?? 0, revision };
    }
    this.#known.set(key, known);
    return known;
  }
}
