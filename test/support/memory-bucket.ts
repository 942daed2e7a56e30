import type { Bucket, Entry, PutOutcome, Subscription } from "../../internal/bus/contract.ts";
import { subjectMatcher } from "./subject-matcher.ts";

/** A bucket in memory with the semantics of the contract: revisions, fencing, tombstones, watchers. */
export class MemoryBucket implements Bucket {
  readonly entries = new Map<string, Entry>();
  readonly #watchers = new Set<{
    matches: (key: string) => boolean;
    changed: (entry: Entry) => void;
  }>();
  #revision = 0;

  async get(key: string): Promise<Entry | undefined> {
    return this.entries.get(key);
  }

  latest(key: string): Promise<Entry | undefined> {
    return this.get(key);
  }

  async getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  async *list(filter: string | readonly string[]): AsyncIterable<Entry> {
    const matchers = [filter].flat().map(subjectMatcher);
    for (const entry of [...this.entries.values()]) {
      if (matchers.some((matches) => matches(entry.key))) yield entry;
    }
  }

  async watch(filter: string, changed: (entry: Entry) => void): Promise<Subscription> {
    const watcher = { matches: subjectMatcher(filter), changed };
    for (const entry of this.entries.values()) if (watcher.matches(entry.key)) changed(entry);
    this.#watchers.add(watcher);
    return { stop: () => this.#watchers.delete(watcher) };
  }

  put(key: string, value: Uint8Array, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write({ key, value, revision: 0 }, expected, done);
  }

  delete(key: string, expected: number, done: (outcome: PutOutcome) => void): void {
    this.#write({ key, value: undefined, revision: 0 }, expected, done);
  }

  #write(entry: Entry, expected: number, done: (outcome: PutOutcome) => void): void {
    queueMicrotask(() => {
      if ((this.entries.get(entry.key)?.revision ?? 0) !== expected)
        return done({ kind: "conflict" });
      const stored = { ...entry, revision: ++this.#revision };
      this.entries.set(entry.key, stored);
      for (const watcher of this.#watchers) if (watcher.matches(entry.key)) watcher.changed(stored);
      done({ kind: "stored", revision: stored.revision });
    });
  }
}
