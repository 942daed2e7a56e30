import { beforeEach, describe, expect, test } from "vitest";
import type { Entry, PutOutcome } from "../../internal/bus/contract.ts";
import { OwnershipRecords } from "../../internal/projector/ownership.ts";
import { decodeJson, type Ownership } from "../../streams/records.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";

/** A bucket whose broker may be between two leaders, or lose what it has not synced. */
class LeaderBucket extends MemoryBucket {
  electing = false;
  puts = 0;
  reads = 0;

  override latest(key: string): Promise<Entry | undefined> {
    this.reads += 1;
    return this.electing ? Promise.reject(new Error("no leader")) : super.latest(key);
  }

  override put(
    key: string,
    value: Uint8Array,
    expected: number,
    done: (outcome: PutOutcome) => void,
  ): void {
    this.puts += 1;
    if (this.electing) queueMicrotask(() => done({ kind: "unknown" }));
    else super.put(key, value, expected, done);
  }

  get record(): Ownership | undefined {
    const value = this.entries.get(KEY)?.value;
    return value && decodeJson<Ownership>(value);
  }
}

class Projector {
  readonly records: OwnershipRecords;
  changes = 0;

  constructor(id: string) {
    this.records = new OwnershipRecords({
      id,
      partitions: 4,
      bucket,
      changed: () => {
        this.changes += 1;
      },
    });
  }

  async following(): Promise<this> {
    await this.records.follow();
    return this;
  }

  get owns(): boolean {
    return this.records.allowed(PARTITION);
  }
}

const PARTITION = 3;
const KEY = "3";
const turn = () => new Promise((resolve) => setImmediate(resolve));

let bucket: LeaderBucket;
let a: Projector;
let b: Projector;

beforeEach(async () => {
  bucket = new LeaderBucket();
  a = await new Projector("a-1").following();
  b = await new Projector("b-1").following();
});

async function taken(): Promise<void> {
  a.records.take(PARTITION);
  await turn();
}

describe("a partition", () => {
  test("that two take at once goes to one of them, and the other knows whose it is", async () => {
    a.records.take(PARTITION);
    b.records.take(PARTITION);
    await turn();
    expect([a.owns, b.owns, b.records.owner(PARTITION)]).toEqual([true, false, "a-1"]);
  });

  test("that has an owner costs nothing more: nothing is renewed", async () => {
    await taken();
    const { puts, reads } = bucket;
    await turn();
    expect([puts, reads, bucket.puts, bucket.reads]).toEqual([1, 0, 1, 0]);
  });

  test("that is released can be taken at once, in a new epoch", async () => {
    await taken();
    a.records.release(PARTITION);
    await turn();
    expect([a.owns, b.records.owner(PARTITION)]).toEqual([false, ""]);
    b.records.take(PARTITION);
    await turn();
    expect([b.owns, bucket.record]).toEqual([true, { owner: "b-1", epoch: 2 }]);
  });

  test("that another has taken over is no longer its owner's", async () => {
    await taken();
    b.records.take(PARTITION);
    await turn();
    expect([a.owns, b.owns]).toEqual([false, true]);
  });

  test("that an operator has deleted is nobody's", async () => {
    await taken();
    bucket.delete(KEY, bucket.entries.get(KEY)?.revision ?? 0, () => {});
    await turn();
    expect([a.owns, b.records.owner(PARTITION)]).toEqual([false, ""]);
  });
});

describe("an election", () => {
  test("takes nothing from an owner", async () => {
    await taken();
    bucket.electing = true;
    await turn();
    expect(a.owns).toBe(true);
  });

  test("leaves what a taking came to open, until the leader was asked", async () => {
    bucket.electing = true;
    await taken();
    expect([a.owns, a.records.unsettled(PARTITION)]).toEqual([false, true]);
    bucket.electing = false;
    a.records.askAgain();
    await turn();
    expect([a.owns, a.records.anyDoubted]).toEqual([false, false]);
    await taken();
    expect(a.owns).toBe(true);
  });
});

describe("an owner that may have missed something", () => {
  test("does nothing before the leader was asked, and then goes on", async () => {
    await taken();
    bucket.electing = true;
    a.records.doubtAll();
    await turn();
    expect([a.owns, a.records.owner(PARTITION)]).toEqual([false, "a-1"]);
    bucket.electing = false;
    a.records.askAgain();
    await turn();
    expect(a.owns).toBe(true);
  });

  test("learns from the leader that it is the owner no longer, before any watch tells", async () => {
    const blind = new Projector("blind-1");
    blind.records.take(PARTITION);
    await turn();
    expect(blind.owns).toBe(true);
    b.records.take(PARTITION);
    await turn();
    expect(blind.owns).toBe(true);
    expect(await blind.records.confirm(PARTITION)).toBe(false);
    expect(blind.owns).toBe(false);
  });

  test("is told so by its own attempt to write the record", async () => {
    const blind = new Projector("blind-1");
    blind.records.take(PARTITION);
    await turn();
    b.records.take(PARTITION);
    await turn();
    blind.records.release(PARTITION);
    await turn();
    expect([blind.records.owner(PARTITION), b.owns]).toEqual(["b-1", true]);
  });

  test("is not confirmed by nobody", async () => {
    await taken();
    bucket.electing = true;
    await expect(a.records.confirm(PARTITION)).rejects.toThrow("no leader");
  });
});

describe("a broker that has lost the newest records", () => {
  /** As after a crash: an earlier entry stands there again, and only the watches of `told` say so. */
  function lose(earlier: Entry, ...told: Projector[]): void {
    bucket.entries.set(KEY, earlier);
    for (const { records } of told) records.observe(earlier);
  }

  async function earlierAndLater(): Promise<Entry> {
    await taken();
    const earlier = bucket.entries.get(KEY);
    if (earlier === undefined) throw new Error("nothing was stored");
    b.records.take(PARTITION);
    await turn();
    return earlier;
  }

  test("is believed: whom the record names now is the owner", async () => {
    lose(await earlierAndLater(), a, b);
    await turn();
    expect([a.owns, b.owns]).toEqual([true, false]);
  });

  test("lets a partition be taken at the second attempt, also when nobody was told", async () => {
    lose(await earlierAndLater());
    b.records.release(PARTITION);
    await turn();
    expect(b.records.owner(PARTITION)).toBe("a-1");
    b.records.take(PARTITION);
    await turn();
    expect([b.owns, bucket.record]).toEqual([true, { owner: "b-1", epoch: 2 }]);
  });

  test("and has given the revision of a lost record to another is believed too", async () => {
    await taken();
    const { revision = 0 } = bucket.entries.get(KEY) ?? {};
    const value = Buffer.from(JSON.stringify({ owner: "c-1", epoch: 1 }));
    lose({ key: KEY, revision, value }, a);
    await turn();
    expect([a.owns, a.records.owner(PARTITION)]).toEqual([false, "c-1"]);
  });
});
