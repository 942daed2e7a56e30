import type { SnapshotRef } from "../../../streams/records.ts";
import { snapshotKey } from "../../../streams/subjects.ts";
import type { Bucket, Entry } from "../../bus/contract.ts";
import type { SharedTurns } from "../../clock/shared-turns.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { RouteTable } from "../fold/route-table.ts";
import { type Cut, encode, Restoring } from "./cut.ts";

/** Chunks on their way at once. */
const WINDOW = 4;

/** A chunk that is stored. */
interface Chunk {
  key: string;
  revision: number;
}

/** A complete snapshot, and what it takes to delete it. */
export interface StoredSnapshot {
  ref: SnapshotRef;
  chunks: Chunk[];
}

export interface SnapshotStoreOptions {
  partition: number;
  /** `hf_snapshot` */
  bucket: Bucket;
  slices: SharedTurns;
}

/** The snapshots of one partition. */
export class SnapshotStore {
  readonly #options: SnapshotStoreOptions;

  constructor(options: SnapshotStoreOptions) {
    this.#options = options;
  }

  /** @throws HoldfastError when a chunk of it is not there or cannot be read. */
  async read(ref: SnapshotRef): Promise<{ table: RouteTable; stored: StoredSnapshot }> {
    const { partition, slices } = this.#options;
    const restoring = new Restoring();
    const chunks: Chunk[] = [];
    for (let from = 0; from < ref.chunks; from += WINDOW) {
      const keys: string[] = [];
      for (let chunk = from; chunk < Math.min(from + WINDOW, ref.chunks); chunk++) {
        keys.push(snapshotKey(partition, ref.generation, chunk));
      }
      for (const { key, revision, value } of await this.#entries(keys)) {
        await slices.run(decoding(restoring, key, value));
        chunks.push({ key, revision });
      }
    }
    if (!restoring.isWhole(ref.sequence))
      throw unreadable(`partition ${partition}`, "is not whole");
    return { table: restoring.table, stored: { ref, chunks } };
  }

  /** Rejects when a chunk is not stored; what is stored by then expires. */
  async write(cut: Cut, generation: number): Promise<StoredSnapshot> {
    const { partition, slices } = this.#options;
    const datas: Uint8Array[] = [];
    await slices.run(encode(cut, (data) => datas.push(data)));
    const chunks: Chunk[] = [];
    for (let from = 0; from < datas.length; from += WINDOW) {
      const puts = datas
        .slice(from, from + WINDOW)
        .map((data, i) => this.#put(snapshotKey(partition, generation, from + i), data));
      chunks.push(...(await Promise.all(puts)));
    }
    const { sequence } = cut.head;
    return { ref: { generation, sequence, chunks: chunks.length }, chunks };
  }

  /** What is not deleted expires. */
  delete({ chunks }: StoredSnapshot): void {
    for (const { key, revision } of chunks) this.#options.bucket.delete(key, revision, () => {});
  }

  /** In the order of the keys. A copy of the bucket that lags behind may lack what its leader has. */
  async #entries(keys: readonly string[]): Promise<Required<Entry>[]> {
    const { bucket } = this.#options;
    const found = await bucket.getMany(keys);
    return Promise.all(
      keys.map(async (key, i) => {
        const entry = found[i] ?? (await bucket.latest(key));
        if (entry?.value === undefined) throw unreadable(key, "is not there");
        return entry;
      }),
    );
  }

  #put(key: string, data: Uint8Array): Promise<Chunk> {
    return new Promise((stored, failed) => {
      this.#options.bucket.put(key, data, 0, (outcome) => {
        if (outcome.kind === "stored") stored({ key, revision: outcome.revision });
        else failed(new HoldfastError("unavailable", `snapshot ${key}: ${outcome.kind}`));
      });
    });
  }
}

function* decoding(restoring: Restoring, key: string, value: Uint8Array | undefined) {
  if (value === undefined) throw unreadable(key, "is not there");
  try {
    yield* restoring.decode(value);
  } catch (reason) {
    throw unreadable(key, reason instanceof Error ? reason.message : String(reason));
  }
}

function unreadable(what: string, why: string): HoldfastError {
  return new HoldfastError("not-found", `the snapshot of ${what} ${why}`);
}
