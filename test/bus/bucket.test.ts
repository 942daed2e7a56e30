import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NatsBucket } from "../../internal/bus/bucket.ts";
import type { Bucket, Entry, PutOutcome } from "../../internal/bus/contract.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { bytes, connectTo, type TestConnection, text } from "./support.ts";

const LAYOUT = { partitions: 4, logStreams: 1, replicas: 1, logMaxBytes: 64 * 1024 * 1024 };

let nats: TestNats;
let connection: TestConnection;
let bucket: Bucket;
/** Keys of a test begin with it. */
let scope: string;
let scopes = 0;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, LAYOUT);
  bucket = new NatsBucket(connection, "hf_route");
});

afterAll(async () => {
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

beforeEach(() => {
  scope = `t${++scopes}`;
});

const put = (key: string, value: string | number, expected = 0) =>
  new Promise<PutOutcome>((done) => bucket.put(`${scope}.${key}`, bytes(value), expected, done));
const remove = (key: string, expected: number) =>
  new Promise<PutOutcome>((done) => bucket.delete(`${scope}.${key}`, expected, done));

async function stored(outcome: Promise<PutOutcome>): Promise<number> {
  const result = await outcome;
  if (result.kind !== "stored") throw new Error(`not stored but ${result.kind}`);
  return result.revision;
}

/** As `key=value`, without the scope; "key!" for a deletion. */
function shown(entry: Entry): string {
  const key = entry.key.slice(scope.length + 1);
  return entry.value === undefined ? `${key}!` : `${key}=${text(entry.value)}`;
}

async function putMany(count: number): Promise<void> {
  const outcomes = await Promise.all(Array.from({ length: count }, (_, i) => put(`k${i}`, i)));
  expect(outcomes.every(({ kind }) => kind === "stored")).toBe(true);
}

describe("put and delete", () => {
  test("a value is stored over the revision it expects, and given back with its own", async () => {
    const first = await stored(put("a", "one"));
    const second = await stored(put("a", "two", first));
    expect(second).toBeGreaterThan(first);
    const entry = await bucket.get(`${scope}.a`);
    expect(entry).toMatchObject({ key: `${scope}.a`, revision: second });
    expect(text(entry!.value!)).toBe("two");
  });

  test("a writer that is not up to date gets a conflict, and changes nothing", async () => {
    const first = await stored(put("a", "one"));
    const second = await stored(put("a", "two", first));
    expect(await put("a", "three", first)).toEqual({ kind: "conflict" });
    expect(await put("a", "three", 0)).toEqual({ kind: "conflict" });
    expect(await remove("a", first)).toEqual({ kind: "conflict" });
    expect(await bucket.get(`${scope}.a`)).toMatchObject({ revision: second });
  });

  test("a deletion leaves a revision that the next write replaces", async () => {
    const first = await stored(put("a", "one"));
    const deleted = await stored(remove("a", first));
    expect(await bucket.get(`${scope}.a`)).toEqual({
      key: `${scope}.a`,
      value: undefined,
      revision: deleted,
    });
    expect(await put("a", "two", 0)).toEqual({ kind: "conflict" });
    await stored(put("a", "two", deleted));
  });

  test("an empty value is a value", async () => {
    await stored(put("a", ""));
    expect((await bucket.get(`${scope}.a`))?.value).toHaveLength(0);
  });

  test("the latest is what was stored last, a deletion too", async () => {
    const first = await stored(put("l", "one"));
    const latest = async () => {
      const entry = await bucket.latest(`${scope}.l`);
      return entry && shown(entry);
    };
    expect(await latest()).toBe("l=one");
    await stored(remove("l", first));
    expect(await latest()).toBe("l!");
    expect(await bucket.latest(`${scope}.never`)).toBeUndefined();
  });

  test("a key that was never written is not there", async () => {
    expect(await bucket.get(`${scope}.nothing`)).toBeUndefined();
  });

  test("a write that the server refuses is unknown, and the reason is reported", async () => {
    connection.faults.length = 0;
    const large = new Uint8Array(connection.maxPayload + 1);
    const outcome = new Promise<PutOutcome>((done) => bucket.put(`${scope}.a`, large, 0, done));
    expect(await outcome).toEqual({ kind: "unknown" });
    expect(connection.faults).toHaveLength(1);
  });
});

describe("getMany", () => {
  test("3,000 keys, some repeated and some missing, come in the order asked", async () => {
    await putMany(2_500);
    const wanted = Array.from({ length: 3_000 }, (_, i) => `${scope}.k${(i * 7) % 3_000}`);
    wanted.push(`${scope}.k1`, `${scope}.k1`);
    const entries = await bucket.getMany(wanted);
    const values = entries.map((entry) => entry && `${entry.key}=${text(entry.value!)}`);
    expect(values).toEqual(
      wanted.map((key) => {
        const i = Number(key.slice(scope.length + 2));
        return i < 2_500 ? `${key}=${i}` : undefined;
      }),
    );
  });

  test("no keys give no entries, and only unknown ones nothing but undefined", async () => {
    expect(await bucket.getMany([])).toEqual([]);
    expect(await bucket.getMany([`${scope}.x`, `${scope}.y`])).toEqual([undefined, undefined]);
  });

  test("entries of more bytes than the server puts into one batch come all the same", async () => {
    const large = new Uint8Array(500_000).fill(1);
    const keys = Array.from({ length: 25 }, (_, i) => `${scope}.large${i}`);
    for (const key of keys) {
      await new Promise<PutOutcome>((done) => bucket.put(key, large, 0, done));
    }
    const entries = await bucket.getMany(keys);
    expect(entries.filter((entry) => entry?.value?.length === large.length)).toHaveLength(25);
  });
});

describe("list", () => {
  const list = async (filter: string) => {
    const entries: string[] = [];
    for await (const entry of bucket.list(filter)) entries.push(shown(entry));
    return entries;
  };

  test("gives the newest entry of every matching key, deletions too", async () => {
    const a = await stored(put("x.a", 1));
    const b = await stored(put("x.b", 1));
    await stored(put("y.c", 1));
    await stored(put("x.a", 2, a));
    await stored(remove("x.b", b));
    expect(await list(`${scope}.x.*`)).toEqual(["x.a=2", "x.b!"]);
    expect(await list(`${scope}.>`)).toEqual(["y.c=1", "x.a=2", "x.b!"]);
    expect(await list(`${scope}.z.>`)).toEqual([]);
  });

  test("gives many entries page by page, each once", async () => {
    await putMany(2_000);
    const entries = await list(`${scope}.>`);
    expect(entries).toEqual(Array.from({ length: 2_000 }, (_, i) => `k${i}=${i}`));
    const exactPages = await list(`${scope}.>`);
    expect(exactPages).toHaveLength(2_000);
  });

  test("takes several filters at once, few matches or many", async () => {
    await putMany(1_100);
    await stored(put("a.1", "x"));
    await stored(put("b.1", "y"));
    const listed = async (...filters: string[]) => {
      const entries: string[] = [];
      for await (const entry of bucket.list(filters.map((filter) => `${scope}.${filter}`))) {
        entries.push(shown(entry));
      }
      return entries.sort();
    };
    expect(await listed("a.*", "b.*", "c.*")).toEqual(["a.1=x", "b.1=y"]);
    expect(await listed("*", "a.*")).toHaveLength(1_101);
  });

  test("may be left before its end, and leaves no consumer behind", async () => {
    await putMany(1_100);
    for await (const entry of bucket.list(`${scope}.>`)) {
      expect(shown(entry)).toBe("k0=0");
      break;
    }
    const jsm = await jetstreamManager(connection.nc);
    expect(await jsm.consumers.list("KV_hf_route").next()).toEqual([]);
  });
});

describe("watch", () => {
  test("gives what is there before it resolves, then every change", async () => {
    const a = await stored(put("a", 1));
    await stored(put("b", 1));
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    expect(seen).toEqual(["a=1", "b=1"]);
    const a2 = await stored(put("a", 2, a));
    await stored(remove("a", a2));
    await eventually("the changes are seen", () => seen.length === 4);
    expect(seen.slice(2)).toEqual(["a=2", "a!"]);
    watcher.stop();
  });

  test("resolves for a filter that matches nothing yet", async () => {
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    expect(seen).toEqual([]);
    await stored(put("a", 1));
    await eventually("the change is seen", () => seen.length === 1);
    watcher.stop();
  });

  test("gives all of many entries before it resolves", async () => {
    await putMany(3_000);
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    expect(seen).toHaveLength(3_000);
    watcher.stop();
  });

  test("a stopped watcher sees nothing more", async () => {
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    watcher.stop();
    await stored(put("a", 1));
    await connection.outbound.flush();
    expect(seen).toEqual([]);
  });
});

describe("a broker that goes away", () => {
  test("a watcher survives its restart and sees what changed, once", async () => {
    await stored(put("a", 1));
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    await nats.restart();
    await eventually("the connection is back", () => connection.link.connected);
    await stored(put("b", 2));
    await eventually("the change is seen", () => seen.includes("b=2"));
    expect(seen).toEqual(["a=1", "b=2"]);
    watcher.stop();
  });

  test("writes on their way are unknown, and so are those while it is away; reads fail as unavailable", async () => {
    const onTheirWay = Array.from({ length: 100 }, (_, i) => put(`k${i}`, i));
    await nats.kill();
    const outcomes = new Set((await Promise.all(onTheirWay)).map(({ kind }) => kind));
    expect(outcomes.has("conflict")).toBe(false);
    await eventually("the loss is noticed", () => !connection.link.connected);
    expect(await put("b", 1)).toEqual({ kind: "unknown" });
    const unavailable = { code: "unavailable" };
    await expect(bucket.get(`${scope}.a`)).rejects.toMatchObject(unavailable);
    await expect(bucket.getMany([`${scope}.a`])).rejects.toMatchObject(unavailable);
    const listing = bucket.list(`${scope}.>`)[Symbol.asyncIterator]();
    await expect(listing.next()).rejects.toMatchObject(unavailable);
    await nats.start();
    await eventually("the connection is back", () => connection.link.connected);
    expect(await bucket.get(`${scope}.b`)).toBeUndefined();
  });

  test("a watcher begins again when its bucket was deleted and made anew", async () => {
    await stored(put("old", 1));
    const seen: string[] = [];
    const watcher = await bucket.watch(`${scope}.>`, (entry) => seen.push(shown(entry)));
    const jsm = await jetstreamManager(connection.nc);
    await jsm.streams.delete("KV_hf_route");
    await reconcile(connection.nc, LAYOUT);
    await stored(put("new", 1));
    await eventually("the new entry is seen", () => seen.includes("new=1"));
    expect(seen).toEqual(["old=1", "new=1"]);
    watcher.stop();
  });
});
