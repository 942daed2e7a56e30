import { beforeEach, describe, expect, test } from "vitest";
import type { Entry, PutOutcome } from "../../internal/bus/contract.ts";
import { KeyWriter, type WriteFailure } from "../../internal/projector/key-writer.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A bucket whose answers wait until they are let through. */
class SlowBucket extends MemoryBucket {
  readonly sent: string[] = [];
  #answers: (() => void)[] = [];
  /** Nobody hears what became of a put: it was stored, or it was not. */
  lost: "answers" | "puts" | undefined;
  /** Nobody answers questions either. */
  away = false;

  override put(
    key: string,
    value: Uint8Array,
    expected: number,
    done: (outcome: PutOutcome) => void,
  ): void {
    this.sent.push(`${key}=${Buffer.from(value)}`);
    if (this.lost === "puts") {
      this.#answers.push(() => done({ kind: "unknown" }));
      return;
    }
    super.put(key, value, expected, (outcome) => {
      this.#answers.push(() => done(this.lost ? { kind: "unknown" } : outcome));
    });
  }

  override latest(key: string): Promise<Entry | undefined> {
    return this.away ? Promise.reject(new Error("no leader")) : super.latest(key);
  }

  /** Lets the answers through that are there by now, and what follows from them. */
  async answer(): Promise<void> {
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
let clock: VirtualClock;
let allowed: boolean;
let confirmed: boolean;
let failures: WriteFailure[];
let writer: KeyWriter<string>;

function newWriter({ window = 10, shared = false } = {}): KeyWriter<string> {
  return new KeyWriter<string>({
    bucket,
    window,
    shared,
    encode: (text) => Buffer.from(text),
    clock,
    allowed: () => allowed,
    confirmed: async () => confirmed,
    failed: (why) => failures.push(why),
  });
}

beforeEach(() => {
  bucket = new SlowBucket();
  clock = new VirtualClock();
  allowed = true;
  confirmed = true;
  failures = [];
  writer = newWriter();
});

describe("writing", () => {
  test("a key has one put on its way, and of what changes meanwhile only the newest is written", async () => {
    for (const text of ["1", "2", "3"]) writer.put("k", text);
    expect(bucket.sent).toEqual(["k=1"]);
    await bucket.answer();
    expect(bucket.sent).toEqual(["k=1", "k=3"]);
    await bucket.answer();
    expect([bucket.text("k"), writer.backlog, failures]).toEqual(["3", 0, []]);
  });

  test("no more puts than the window are on their way, and every key gets its turn", async () => {
    writer = newWriter({ window: 2 });
    for (const key of ["a", "b", "c", "d", "e"]) writer.put(key, "x");
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

describe("fencing", () => {
  test("a key that somebody else has written ends the writer", async () => {
    writer.put("k", "mine");
    await bucket.answer();
    await bucket.overwrite("k", "theirs");
    writer.put("k", "mine again");
    writer.put("other", "x");
    await bucket.answer();
    writer.put("later", "x");
    expect([failures, bucket.text("k")]).toEqual([["conflict"], "theirs"]);
    expect(bucket.sent).not.toContain("later=x");
  });

  test("a key that was deleted is written again", async () => {
    writer.put("k", "1");
    await bucket.answer();
    await bucket.remove("k");
    writer.put("k", "2");
    await bucket.answer();
    await bucket.answer();
    expect([bucket.text("k"), failures]).toEqual(["2", []]);
  });

  test("a key that has expired is written again", async () => {
    writer.known("k", 17, "old");
    writer.put("k", "new");
    await bucket.answer();
    await bucket.answer();
    expect([bucket.text("k"), failures]).toEqual(["new", []]);
  });

  test("a key that several may write is written over", async () => {
    writer = newWriter({ shared: true });
    await bucket.overwrite("k", "theirs");
    writer.put("k", "mine");
    await bucket.answer();
    await bucket.answer();
    expect([bucket.text("k"), failures]).toEqual(["mine", []]);
  });

  test("without permission nothing is sent, and all of it when there is permission again", async () => {
    allowed = false;
    writer.put("k", "1");
    writer.put("k", "2");
    expect([bucket.sent, failures]).toEqual([[], []]);
    allowed = true;
    writer.resume();
    await bucket.answer();
    expect([bucket.text("k"), writer.backlog]).toEqual(["2", 0]);
  });
});

describe("a broker that does not answer, as during an election", () => {
  test("does not end the writer: what was not stored is written again", async () => {
    bucket.lost = "puts";
    bucket.away = true;
    writer.put("k", "1");
    await bucket.answer();
    clock.advance(9_000);
    await turn();
    expect([bucket.text("k"), writer.backlog, failures]).toEqual(["", 1, []]);
    bucket.lost = undefined;
    bucket.away = false;
    clock.advance(1_000);
    await turn();
    await bucket.answer();
    expect([bucket.text("k"), writer.backlog, failures]).toEqual(["1", 0, []]);
  });

  test("and had stored the put all the same is believed, and written over by what follows", async () => {
    bucket.lost = "answers";
    writer.put("k", "1");
    writer.put("k", "2");
    await bucket.answer();
    bucket.lost = undefined;
    await bucket.answer();
    expect([bucket.sent, bucket.text("k"), failures]).toEqual([["k=1", "k=2"], "2", []]);
  });

  test("does not hide that somebody else has written the key meanwhile", async () => {
    bucket.lost = "puts";
    writer.put("k", "mine");
    await turn();
    bucket.lost = undefined;
    await bucket.overwrite("k", "theirs");
    await bucket.answer();
    expect([bucket.text("k"), failures]).toEqual(["theirs", ["conflict"]]);
  });

  test("leaves a writer that is not the owner any more with nothing to write", async () => {
    bucket.lost = "puts";
    confirmed = false;
    writer.put("k", "mine");
    await bucket.answer();
    clock.advance(10_000);
    await bucket.answer();
    expect([bucket.sent, failures]).toEqual([["k=mine"], []]);
  });
});
