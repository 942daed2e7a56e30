import { partitionOf } from "../../streams/partition.ts";
import { decodeJson, type MailboxMark } from "../../streams/records.ts";
import { fullFilter, fullKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";

/**
 * The devices whose mailbox takes no more, as the owners of their partitions say. They are few, so
 * all of them are known here, and asking costs nothing.
 */
export class FullMailboxes implements Disposable {
  readonly #keys = new Set<string>();
  readonly #partitions: number;
  #watch: Subscription | undefined;

  private constructor(partitions: number) {
    this.#partitions = partitions;
  }

  /** `bucket`: `hf_mailbox`. Resolves when all that are full now are known. */
  static async follow(bucket: Bucket, partitions: number): Promise<FullMailboxes> {
    const full = new FullMailboxes(partitions);
    full.#watch = await bucket.watch(fullFilter(), (entry) => full.#changed(entry));
    return full;
  }

  isFull(app: string, device: string): boolean {
    if (this.#keys.size === 0) return false;
    return this.#keys.has(fullKey(partitionOf(app, device, this.#partitions), app, device));
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #changed({ key, value }: Entry): void {
    if (value !== undefined && decodeJson<MailboxMark>(value).full) this.#keys.add(key);
    else this.#keys.delete(key);
  }
}
