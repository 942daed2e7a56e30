import { beforeEach, describe, expect, test } from "vitest";
import { HOLD_MS, LEASE_MS, PartitionLease, RENEW_MS } from "../../internal/projector/lease.ts";
import { ALL_KEYS } from "../../streams/subjects.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** One projector's view, with a clock of its own. */
class Holder {
  readonly clock = new VirtualClock();
  readonly lease: PartitionLease;
  readonly events: string[] = [];

  constructor(id: string, bucket: MemoryBucket) {
    this.lease = new PartitionLease({
      id,
      partition: 3,
      bucket,
      clock: this.clock,
      taken: () => this.events.push("taken"),
      lost: () => this.events.push("lost"),
    });
  }

  async watch(bucket: MemoryBucket): Promise<this> {
    await bucket.watch(ALL_KEYS, (entry) => this.lease.observe(entry));
    return this;
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

let bucket: MemoryBucket;
let a: Holder;
let b: Holder;

beforeEach(async () => {
  bucket = new MemoryBucket();
  a = await new Holder("a", bucket).watch(bucket);
  b = await new Holder("b", bucket).watch(bucket);
  a.lease.take();
  await turn();
});

async function pass(ms: number, ...renewing: Holder[]): Promise<void> {
  for (let passed = 0; passed < ms; passed += 250) {
    for (const { clock } of [a, b]) clock.advance(250);
    for (const { lease } of renewing) lease.tick();
    await turn();
  }
}

describe("a lease", () => {
  test("that is free goes to one of those who take it", async () => {
    const free = new MemoryBucket();
    const [c, d] = [
      await new Holder("c", free).watch(free),
      await new Holder("d", free).watch(free),
    ];
    c.lease.take();
    d.lease.take();
    await turn();
    expect([c.events, d.events]).toEqual([["taken"], []]);
    expect(d.lease.owner).toBe("c");
  });

  test("that is renewed is nobody else's, however long", async () => {
    await pass(60_000, a);
    expect([a.lease.valid, b.lease.takeable]).toEqual([true, false]);
  });

  test("that is not renewed is given up by its holder before anybody else may take it", async () => {
    await pass(HOLD_MS);
    expect([a.lease.valid, b.lease.takeable]).toEqual([false, false]);
    await pass(LEASE_MS - HOLD_MS);
    expect(b.lease.takeable).toBe(true);
    b.lease.take();
    await turn();
    expect([b.events, a.events]).toEqual([["taken"], ["taken", "lost"]]);
  });

  test("that was renewed after all cannot be taken by one who did not see it", async () => {
    const blind = new Holder("blind", bucket);
    blind.lease.observe([...bucket.entries.values()][0]!);
    await pass(RENEW_MS, a);
    blind.clock.advance(LEASE_MS);
    blind.lease.take();
    await turn();
    expect([blind.events, a.lease.valid]).toEqual([[], true]);
  });

  test("that is released can be taken at once", async () => {
    a.lease.release();
    await turn();
    expect([a.lease.valid, b.lease.takeable]).toEqual([false, true]);
  });

  test("that was deleted by an operator is lost", async () => {
    const { key, revision } = [...bucket.entries.values()][0]!;
    bucket.delete(key, revision, () => {});
    await turn();
    expect(a.events).toEqual(["taken", "lost"]);
    expect(b.lease.takeable).toBe(true);
  });
});
