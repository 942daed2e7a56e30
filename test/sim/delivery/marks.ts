import type { Bucket, Entry, PutOutcome, Subscription } from "../../../internal/bus/contract.ts";
import { HoldfastError } from "../../../internal/status/errors.ts";
import { subjectMatcher } from "../../support/subject-matcher.ts";
import type { SimProcess } from "../process.ts";
import { arrival } from "./broker-stream.ts";
import type { DeliveryCluster } from "./cluster.ts";

/** Bucket hf_mailbox at the broker. */
export class SimMarks {
  readonly entries = new Map<string, Entry>();
  #revision = 0;

  put(key: string, value: Uint8Array, expected: number): PutOutcome {
    if ((this.entries.get(key)?.revision ?? 0) !== expected) return { kind: "conflict" };
    this.#revision += 1;
    this.entries.set(key, { key, value, revision: this.#revision });
    return { kind: "stored", revision: this.#revision };
  }
}

/** The bucket as one process sees it: writes may land late, and answers may be lost. */
export class SimMarksBucket implements Bucket {
  readonly #cluster: DeliveryCluster;
  readonly #process: SimProcess;

  constructor(cluster: DeliveryCluster, process: SimProcess) {
    this.#cluster = cluster;
    this.#process = process;
  }

  async get(key: string): Promise<Entry | undefined> {
    return this.#ask(() => this.#cluster.marks.entries.get(key));
  }

  latest(key: string): Promise<Entry | undefined> {
    return this.get(key);
  }

  getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  async *list(filter: string): AsyncGenerator<Entry> {
    const matches = subjectMatcher(filter);
    const entries = await this.#ask(() => [...this.#cluster.marks.entries.values()]);
    for (const entry of entries) if (matches(entry.key)) yield entry;
  }

  watch(): Promise<Subscription> {
    throw new Error("owners watch no marks");
  }

  put(key: string, value: Uint8Array, expected: number, done: (outcome: PutOutcome) => void): void {
    const { world, marks, faults } = this.#cluster;
    const unanswered = world.chance(faults.mailFaults / 4);
    if (unanswered) world.after(5_000, () => this.#answer(() => done({ kind: "unknown" })));
    if (unanswered && world.chance(0.5)) return;
    const late = unanswered ? world.between(0, 300_000) : 0;
    world.at(arrival(this.#cluster, faults.mailSlowness) + late, () => {
      const outcome = marks.put(key, value, expected);
      if (unanswered) return;
      world.after(world.between(0, 20), () => this.#answer(() => done(outcome)));
    });
  }

  delete(): void {
    throw new Error("owners delete no marks");
  }

  #ask<T>(act: () => T): Promise<T> {
    const { world, faults } = this.#cluster;
    return new Promise((resolve, reject) => {
      world.at(arrival(this.#cluster, 100), () => {
        const lost = world.chance(faults.mailFaults / 4);
        const result = act();
        this.#answer(() =>
          lost ? reject(new HoldfastError("timeout", "no answer")) : resolve(result),
        );
      });
    });
  }

  #answer(tell: () => void): void {
    this.#process.receive(() => {
      tell();
      this.#cluster.world.settles();
    });
  }
}
