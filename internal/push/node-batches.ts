import type { Location } from "./route-cache.ts";

/** The connections of one node that get the message, and which target each stands for. */
export interface NodeBatch {
  readonly node: string;
  readonly counters: bigint[];
  /** Indexes of the targets, parallel to `counters`. */
  readonly targets: number[];
}

/** Collects targets by node, in batches of at most `maxBatch`. */
export class NodeBatches {
  readonly all: NodeBatch[] = [];
  readonly #open = new Map<string, NodeBatch>();
  readonly #maxBatch: number;

  constructor(maxBatch: number) {
    this.#maxBatch = maxBatch;
  }

  add(target: number, location: Location): void {
    let batch = this.#open.get(location.node);
    if (batch === undefined || batch.counters.length === this.#maxBatch) {
      batch = { node: location.node, counters: [], targets: [] };
      this.#open.set(location.node, batch);
      this.all.push(batch);
    }
    batch.counters.push(location.counter);
    batch.targets.push(target);
  }
}
