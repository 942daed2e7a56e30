import type { Entry } from "../../internal/bus/contract.ts";
import type { BucketName } from "../../streams/layout.ts";
import { type Checkpoint, decodeJson, type Ownership, type Route } from "../../streams/records.ts";
import type { WriteObserver } from "./broker.ts";

/**
 * What "at most one owner's writes take effect" means, checked at each write that does. Every taking
 * of a partition begins a new epoch of it, and so does the loss of one by the broker, after which the
 * record names an earlier owner; a write belongs to the epoch that its writer had last when it
 * sent the write. Then
 *
 * - the writes of one key take effect in the order of their epochs: once a newer owner has written
 *   a key, no write of an older owner to it does;
 * - a checkpoint never moves in the name of an older owner once a newer one has claimed it;
 * - neither goes back: the log sequence of a route or checkpoint only grows.
 */
export class FencingCheck implements WriteObserver {
  readonly #violate: (text: string) => void;
  /** By partition: whom the record names, and the number of its owners so far. */
  readonly #owners = new Map<string, { owner: string; epoch: number }>();
  /** By "<writer> <partition>": the newest epoch of this writer. */
  readonly #epochs = new Map<string, number>();
  /** By "<bucket> <key>". */
  readonly #last = new Map<string, { epoch: number; sequence: number }>();
  /** Writes by someone who was not the owner any more: those that did no harm, and those refused. */
  readonly late = { stored: 0, refused: 0 };
  /** The whole log was cut off: that looks like a new log, in which old sequences mean nothing. */
  logGone = false;
  /** Routes whose newest write was such a one. */
  readonly lateRoutes = new Set<string>();

  constructor(violate: (text: string) => void) {
    this.#violate = violate;
  }

  /** The epoch of a write that this writer sends now. */
  epochOf(writer: string, key: string): number {
    return this.#epochs.get(`${writer} ${partitionOf(key)}`) ?? 0;
  }

  refused(bucket: BucketName, key: string, writer: string): void {
    if (bucket !== "hf_route" && bucket !== "hf_checkpoint") return;
    if (this.#owners.get(partitionOf(key))?.owner !== writer) this.late.refused += 1;
  }

  written(bucket: BucketName, entry: Entry, writer: string, epoch: number): void {
    if (entry.value === undefined) {
      this.#last.delete(`${bucket} ${entry.key}`);
      return;
    }
    if (bucket === "hf_lease") this.#owner(entry.key, decodeJson<Ownership>(entry.value));
    if (bucket === "hf_route") {
      this.#inOrder(bucket, entry.key, writer, epoch, decodeJson<Route>(entry.value).sequence);
    }
    if (bucket === "hf_checkpoint") {
      this.#inOrder(bucket, entry.key, writer, epoch, decodeJson<Checkpoint>(entry.value).sequence);
    }
  }

  reverted(bucket: BucketName, key: string, entry: Entry | undefined): void {
    if (bucket !== "hf_lease") return;
    const none: Ownership = { owner: "", epoch: 0 };
    this.#owner(key, entry?.value === undefined ? none : decodeJson<Ownership>(entry.value));
  }

  /** An operator has emptied a bucket: what follows begins anew. */
  emptied(bucket: BucketName): void {
    for (const key of this.#last.keys()) if (key.startsWith(`${bucket} `)) this.#last.delete(key);
  }

  #owner(partition: string, { owner }: Ownership): void {
    const before = this.#owners.get(partition) ?? { owner: "", epoch: 0 };
    if (owner === before.owner) return;
    const epoch = before.epoch + (owner === "" ? 0 : 1);
    this.#owners.set(partition, { owner, epoch });
    if (owner !== "") this.#epochs.set(`${owner} ${partition}`, epoch);
  }

  #inOrder(bucket: BucketName, key: string, writer: string, epoch: number, sequence: number): void {
    const last = this.#last.get(`${bucket} ${key}`);
    const late = this.#owners.get(partitionOf(key))?.owner !== writer;
    if (late) this.late.stored += 1;
    if (late && bucket === "hf_route") this.lateRoutes.add(key);
    else this.lateRoutes.delete(key);
    if (last !== undefined && epoch < last.epoch) {
      this.#violate(
        `${bucket} ${key}: ${writer} of epoch ${epoch} wrote after epoch ${last.epoch}`,
      );
    }
    if (last !== undefined && sequence < last.sequence && !this.logGone) {
      this.#violate(`${bucket} ${key}: went back from ${last.sequence} to ${sequence}`);
    }
    this.#last.set(`${bucket} ${key}`, { epoch, sequence });
  }
}

function partitionOf(key: string): string {
  const dot = key.indexOf(".");
  return dot < 0 ? key : key.slice(0, dot);
}
