import { decodeJson, encodeJson, type Ownership } from "../../streams/records.ts";
import { ALL_KEYS, partitionKey, partitionOfKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, PutOutcome, Subscription } from "../bus/contract.ts";
import { HoldfastError } from "../status/errors.ts";

const NOBODY: Ownership = { owner: "", epoch: 0 };

/** What is known of one record. */
interface Cell {
  readonly partition: number;
  record: Ownership;
  revision: number;
  /** Grows with all that makes an answer which is under way worthless. */
  version: number;
  /** Not to be acted upon before the leader was asked. */
  doubted: boolean;
  writing: boolean;
  /** The question that is under way. */
  reading: symbol | undefined;
  /** Those who asked for a reading that begins after they asked. */
  asking: Asking[];
}

interface Asking {
  resolve(mine: boolean): void;
  reject(why: HoldfastError): void;
}

export interface OwnershipRecordsOptions {
  /** This projector's id, never used by another process. */
  id: string;
  partitions: number;
  /** `hf_lease` */
  bucket: Bucket;
  /** The record of a partition, or whether it can be acted upon, is another now. */
  changed(partition: number): void;
}

/**
 * Who owns the partitions, one record for each, and the writes that change that. A record is
 * written only when the owner changes and by compare-and-set, so it needs no clock: who is named
 * owns the partition until another is. Who may take from whom is decided elsewhere.
 *
 * What a watch tells comes late, and a broker that lost what it had not synced tells less than it
 * did before. So whatever was not simply the next revision is put in doubt, and the leader asked.
 */
export class OwnershipRecords {
  readonly #options: OwnershipRecordsOptions;
  readonly #cells: Cell[];
  /** Those in doubt. */
  readonly #doubted = new Set<Cell>();

  constructor(options: OwnershipRecordsOptions) {
    this.#options = options;
    this.#cells = Array.from({ length: options.partitions }, (_, partition) => ({
      partition,
      record: NOBODY,
      revision: 0,
      version: 0,
      doubted: false,
      writing: false,
      reading: undefined,
      asking: [],
    }));
  }

  /** Follows the records. Resolves when all that are there are known. */
  follow(): Promise<Subscription> {
    return this.#options.bucket.watch(ALL_KEYS, (entry) => this.observe(entry));
  }

  /** By partition; "" for nobody. */
  get owners(): string[] {
    return this.#cells.map(({ record }) => record.owner);
  }

  owner(partition: number): string {
    return this.#cell(partition).record.owner;
  }

  /** The epoch in which this projector owns the partition, as far as can be seen; undefined: it does not. */
  held(partition: number): number | undefined {
    const { owner, epoch } = this.#cell(partition).record;
    return owner === this.#options.id ? epoch : undefined;
  }

  /** Whether this projector may write as the owner. */
  allowed(partition: number): boolean {
    const { record, doubted } = this.#cell(partition);
    return record.owner === this.#options.id && !doubted;
  }

  /** True while the record is being written, or is in doubt. */
  unsettled(partition: number): boolean {
    const { writing, doubted } = this.#cell(partition);
    return writing || doubted;
  }

  /** True while the leader is still to be asked of any. */
  get anyDoubted(): boolean {
    return this.#doubted.size > 0;
  }

  /** Called with what a watch tells. */
  observe({ key, value, revision }: Entry): void {
    const cell = this.#cells[partitionOfKey(key)];
    if (cell === undefined) return;
    const record = recordOf(value);
    if (revision > cell.revision) this.#adopt(cell, record, revision);
    else if (revision < cell.revision || !same(record, cell.record)) this.#doubt(cell);
  }

  /** Makes this projector the owner, if nobody else was faster. */
  take(partition: number): void {
    const { epoch } = this.#cell(partition).record;
    this.#write(partition, { owner: this.#options.id, epoch: epoch + 1 });
  }

  /** Gives the partition up for others to take at once. This projector has stopped writing. */
  release(partition: number): void {
    const { epoch } = this.#cell(partition).record;
    this.#write(partition, { owner: "", epoch });
  }

  /** Something was missed, perhaps: the leader is asked before anything is done. */
  doubt(partition: number): void {
    this.#doubt(this.#cell(partition));
  }

  /** The same of all, after a break in which answers may have been lost, or been overtaken. */
  doubtAll(): void {
    for (const cell of this.#cells) {
      cell.reading = undefined;
      this.#doubt(cell);
    }
  }

  /** Asks the leader (again) about what is in doubt. */
  askAgain(): void {
    for (const cell of this.#doubted) void this.#read(cell);
  }

  /**
   * Whether this projector was still the owner at some moment after this call. Rejects when the
   * leader does not answer. Whatever was read before is then older than any taking by another.
   */
  confirm(partition: number): Promise<boolean> {
    const cell = this.#cell(partition);
    return new Promise((resolve, reject) => {
      cell.asking.push({ resolve, reject });
      // An answer that is under way may be older than this question.
      cell.version += 1;
      void this.#read(cell);
    });
  }

  #cell(partition: number): Cell {
    const cell = this.#cells[partition];
    if (cell === undefined) throw new RangeError(`there is no partition ${partition}`);
    return cell;
  }

  #write(partition: number, record: Ownership): void {
    const cell = this.#cell(partition);
    // One put at a time for a key, and none whose revision may be wrong.
    if (cell.writing || cell.doubted) return;
    const { revision } = cell;
    cell.writing = true;
    const done = (outcome: PutOutcome) => {
      cell.writing = false;
      if (outcome.kind === "stored" && cell.revision === revision) {
        this.#adopt(cell, record, outcome.revision);
      } else if (outcome.kind !== "stored" || cell.revision !== outcome.revision) {
        this.#doubt(cell);
      }
    };
    this.#options.bucket.put(partitionKey(partition), encodeJson(record), revision, done);
  }

  #adopt(cell: Cell, record: Ownership, revision: number): void {
    cell.version += 1;
    cell.record = record;
    cell.revision = revision;
    this.#options.changed(cell.partition);
  }

  #doubt(cell: Cell): void {
    cell.version += 1;
    if (!cell.doubted) {
      cell.doubted = true;
      this.#doubted.add(cell);
      this.#options.changed(cell.partition);
    }
    void this.#read(cell);
  }

  async #read(cell: Cell): Promise<void> {
    if (cell.reading !== undefined) return;
    const question = Symbol();
    cell.reading = question;
    const { partition } = cell;
    let entry: Entry | undefined;
    let version: number;
    try {
      do {
        version = cell.version;
        entry = await this.#options.bucket.latest(partitionKey(partition));
        if (cell.reading !== question) return;
        // What was seen or asked meanwhile may be newer than this answer.
      } while (version !== cell.version);
    } catch (reason) {
      if (cell.reading !== question) return;
      cell.reading = undefined;
      for (const { reject } of cell.asking.splice(0)) reject(HoldfastError.from(reason));
      return;
    }
    cell.reading = undefined;
    cell.doubted = false;
    this.#doubted.delete(cell);
    const asking = cell.asking.splice(0);
    this.#adopt(cell, recordOf(entry?.value), entry?.revision ?? 0);
    const mine = this.held(partition) !== undefined;
    for (const { resolve } of asking) resolve(mine);
  }
}

function recordOf(value: Uint8Array | undefined): Ownership {
  if (value === undefined) return NOBODY;
  try {
    const { owner, epoch } = decodeJson<Partial<Ownership>>(value);
    return { owner: owner ?? "", epoch: epoch ?? 0 };
  } catch {
    // Whoever takes the partition writes over it.
    return NOBODY;
  }
}

function same(a: Ownership, b: Ownership): boolean {
  return a.owner === b.owner && a.epoch === b.epoch;
}
