import { decodeJson, type Ownership } from "../../streams/records.ts";
import { ALL_KEYS, partitionOfKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";

/** Who owns each partition, as the projectors say in `hf_lease`. */
export class Leases implements Disposable {
  readonly #owners = new Map<number, string>();
  #watch: Subscription | undefined;

  private constructor() {}

  /** `bucket`: `hf_lease`. Resolves when all the owners of now are known. */
  static async follow(bucket: Bucket): Promise<Leases> {
    const leases = new Leases();
    leases.#watch = await bucket.watch(ALL_KEYS, (entry) => leases.#changed(entry));
    return leases;
  }

  /** The projector's id; "" when nobody has it. */
  ownerOf(partition: number): string {
    return this.#owners.get(partition) ?? "";
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #changed({ key, value }: Entry): void {
    const owner = value === undefined ? "" : decodeJson<Ownership>(value).owner;
    this.#owners.set(partitionOfKey(key), owner);
  }
}
