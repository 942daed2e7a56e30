import { beforeEach, describe, expect, test } from "vitest";
import type { Entry, PutOutcome } from "../../internal/bus/contract.ts";
import {
  GATHER_MS,
  KeyWriter,
  type Verdict,
  type WriteFailure,
} from "../../internal/projector/key-writer.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A bucket whose answers wait until they are let through. */
class SlowBucket extends MemoryBucket {
  readonly sent: string[] = [];
  #answers: (() => void)[] = [];
  lost = false;
  /** How many keys were asked for at a time. */
  readonly lookups: number[] = [];

  override put(
    key: string,
    value: Uint8Array,
    expected: number,
    done: (outcome: PutOutcome) => void,
  ): void {
    this.sent.push(`${key}=${Buffer.from(value)}`);
    super.put(key, value, expected, (outcome) => {
      this.#answers.push(() => done(this.lost ? { kind: "unknown" } : outcome));
    });
  }

  override getMany(keys: readonly string[]): Promise<(Entry | undefined)[]> {
    this.lookups.push(keys.length);
    return super.getMany(keys);
  }

  /** Lets the answers through that are there by now, and what follows from them. */
  async answer(): Promise<void> {
    clock.advance(GATHER_MS);
    await turn();
    for (const answer of this.#answers.splice(0)) answer();
    await turn();
  }

  text(key: string): string {
    return Buffer.from(this.entries.get(key)?.value ?? []).toString();
  }

  /** As somebody else. */
  async overwrite(key: string, text: string): Promise<void> {
    const revision = this.entries.get(key)?.revision ?? 0;
    await new Promise<PutOutcome>((done) => super.put(key, Buffer.from(text), revision, done));
  }

  async remove(key: string): Promise<void> {
    const revision = this.entries.get(key)?.revision ?? 0;
    await new Promise<PutOutcome>((done) => this.delete(key, revision, done));
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

let bucket: SlowBucket;
let allowed: boolean;
let confirmed: boolean;
let failures: WriteFailure[];
let clock: VirtualClock;
/** Unless set, larger numbers are newer. */
let verdict: Verdict | undefined;
let writer: KeyWriter<string>;

function judge(stored: string, text: string): Verdict {
  if (verdict !== undefined) return verdict;
  if (stored === text) return "keep";
  return stored > text ? "newer" : "write";
}

function newWriter({ window = 10 } = {}): KeyWriter<string> {
  return new KeyWriter<string>({
    bucket,
    clock,
    window,
    encode: (text) => Buffer.from(text),
    decode: (value) => Buffer.from(value).toString(),
    judge,
    allowed: () => allowed,
    confirmed: async () => confirmed,
    failed: (why) => failures.push(why),
  });
}

beforeEach(() => {
  bucket = new SlowBucket();
  clock = new VirtualClock();
  verdict = undefined;
  allowed = true;
  confirmed = true;
  failures = [];
  writer = newWriter();
});

describe("writing", () => {
  test("a key has one put on its way, and of what changes meanwhile only the newest is written", async () => {
    writer.known("k", 0, undefined);
    for (const text of ["1", "2", "3"]) writer.put("k", text);
    expect(bucket.sent).toEqual(["k=1"]);
    await bucket.answer();
    expect(bucket.sent).toEqual(["k=1", "k=3"]);
    await bucket.answer();
    expect([bucket.text("k"), writer.backlog, failures]).toEqual(["3", 0, []]);
  });

  test("no more puts than the window are on their way, and every key gets its turn", async () => {
    writer = newWriter({ window: 2 });
    const keys = ["a", "b", "c", "d", "e"];
    for (const key of keys) writer.known(key, 0, undefined);
    for (const key of keys) writer.put(key, "x");
    expect(bucket.sent).toHaveLength(2);
    for (let i = 0; i < 3; i++) await bucket.answer();
    expect(bucket.sent).toEqual(["a=x", "b=x", "c=x", "d=x", "e=x"]);
  });

  test("a flush waits for what was put before it, and not for what comes after", async () => {
    let flushed = false;
    writer = newWriter({ window: 1 });
    writer.put("a", "1");
    writer.put("b", "1");
    writer.flushed(() => {
      flushed = true;
    });
    writer.put("c", "1");
    await bucket.answer();
    expect(flushed).toBe(false);
    await bucket.answer();
    expect([flushed, writer.backlog]).toEqual([true, 1]);
  });

  test("a flush waits for a key that changes again before its first change was sent", async () => {
    let flushed = false;
    writer = newWriter({ window: 1 });
    writer.put("a", "1");
    writer.put("b", "1");
    writer.flushed(() => {
      flushed = true;
    });
    writer.put("b", "2");
    await bucket.answer();
    expect(flushed).toBe(false);
    await bucket.answer();
    expect([flushed, bucket.text("b")]).toEqual([true, "2"]);
  });
});

describe("what stands there already", () => {
  test("is replaced when it is older, whoever wrote it", async () => {
    writer.put("k", "2");
    await bucket.answer();
    await bucket.overwrite("k", "3");
    writer.put("k", "4");
    await bucket.answer();
    await bucket.answer();
    expect([failures, bucket.text("k"), writer.backlog]).toEqual([[], "4", 0]);
  });

  test("stays when it is newer, and is looked at again before the next write", async () => {
    await bucket.overwrite("k", "5");
    for (const text of ["3", "4", "6"]) {
      writer.put("k", text);
      await bucket.answer();
      await bucket.answer();
    }
    expect([bucket.sent, bucket.text("k"), writer.backlog]).toEqual([["k=6"], "6", 0]);
  });

  test("is not written once more when it says the same", async () => {
    await bucket.overwrite("k", "5");
    writer.put("k", "5");
    await bucket.answer();
    expect([bucket.sent, writer.backlog, writer.knows("k")]).toEqual([[], 0, true]);
  });

  test("is looked up for all keys together", async () => {
    for (let i = 0; i < 10; i++) await bucket.overwrite(`k${i}`, "1");
    writer.put("first", "2");
    for (let i = 0; i < 10; i++) writer.put(`k${i}`, "2");
    for (let i = 0; i < 4; i++) await bucket.answer();
    expect(bucket.lookups).toEqual([10, 1]);
    expect([bucket.text("k9"), writer.backlog]).toEqual(["2", 0]);
  });

  test("may be a deletion, or have expired", async () => {
    writer.put("k", "1");
    await bucket.answer();
    await bucket.remove("k");
    writer.put("k", "2");
    writer.known("e", 17, "1");
    writer.put("e", "2");
    await bucket.answer();
    await bucket.answer();
    expect([bucket.text("k"), bucket.text("e"), failures]).toEqual(["2", "2", []]);
  });

  test("is waited for when it cannot be judged yet", async () => {
    verdict = "wait";
    await bucket.overwrite("k", "9");
    writer.put("k", "1");
    await bucket.answer();
    expect([bucket.sent, writer.backlog]).toEqual([[], 1]);
    verdict = "write";
    clock.advance(1_000);
    await bucket.answer();
    await bucket.answer();
    expect([bucket.sent, bucket.text("k"), writer.backlog]).toEqual([["k=1"], "1", 0]);
  });
});

describe("a broker that does not answer", () => {
  test("is asked later what it has stored, and nothing is written twice", async () => {
    bucket.lost = true;
    writer.put("k", "1");
    await bucket.answer();
    expect([writer.backlog, failures]).toEqual([1, []]);
    bucket.lost = false;
    clock.advance(1_000);
    await bucket.answer();
    expect([bucket.sent, bucket.text("k"), writer.backlog]).toEqual([["k=1"], "1", 0]);
  });

  test("holds up nothing but what it was asked for", async () => {
    bucket.lost = true;
    writer.put("k", "1");
    await bucket.answer();
    bucket.lost = false;
    writer.put("other", "1");
    await bucket.answer();
    expect([bucket.text("other"), writer.backlog]).toEqual(["1", 1]);
  });
});

describe("permission", () => {
  test("without it nothing is sent, and all of it when there is permission again", async () => {
    allowed = false;
    writer.put("k", "1");
    await bucket.answer();
    writer.put("k", "2");
    await bucket.answer();
    expect([bucket.sent, failures]).toEqual([[], []]);
    allowed = true;
    writer.resume();
    await bucket.answer();
    await bucket.answer();
    expect([bucket.text("k"), writer.backlog]).toEqual(["2", 0]);
  });

  test("a writer that is not the owner any more writes nothing over what it has looked up", async () => {
    confirmed = false;
    writer.put("k", "1");
    await bucket.answer();
    clock.advance(10_000);
    await bucket.answer();
    expect([bucket.sent, failures]).toEqual([[], []]);
  });

  test("a key that only the owner writes, and somebody else has written, ends the writer", async () => {
    writer.put("k", "1");
    await bucket.answer();
    await bucket.overwrite("k", "theirs");
    verdict = "lost";
    writer.put("k", "2");
    writer.put("other", "x");
    await bucket.answer();
    await bucket.answer();
    expect([failures, bucket.text("k")]).toEqual([["conflict"], "theirs"]);
  });
});
