import { setTimeout as delay } from "node:timers/promises";
import {
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readDeployment, readRecord } from "../../internal/bus/deployment.ts";
import { changeLimits, reconcile } from "../../internal/bus/reconcile.ts";
import { buckets, type LayoutOptions, streams } from "../../streams/layout.ts";
import { encodeJson } from "../../streams/records.ts";
import { channelInSubject, channelLiveSubject } from "../../streams/subjects.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { bytes, connectTo, type TestConnection } from "./support.ts";

const OPTIONS: LayoutOptions = {
  partitions: 8,
  logStreams: 2,
  replicas: 1,
  logMaxBytes: 64 * 1024 * 1024,
};
const NAMES = [
  ...buckets(OPTIONS).map(({ name }) => `KV_${name}`),
  ...streams(OPTIONS).map(({ name }) => name),
].toSorted();

const UNTOUCHED = { created: [], changed: [], differing: [] };

let nats: TestNats;
let connection: TestConnection;
const manager = () => jetstreamManager(connection.nc);
const configs = async (jsm: JetStreamManager) =>
  (await jsm.streams.list().next()).map(({ config }) => config);

beforeEach(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
});

afterEach(async () => {
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

describe("an empty server", () => {
  test("gets every stream and bucket, and a second run changes nothing", async () => {
    const { created, changed } = await reconcile(connection.nc, OPTIONS);
    expect(created.toSorted()).toEqual(NAMES);
    expect(changed).toEqual([]);
    expect(await reconcile(connection.nc, OPTIONS)).toMatchObject(UNTOUCHED);
  });

  test("can be set up by several processes at once", async () => {
    await using other = await connectTo(nats);
    await Promise.all([connection, other, connection].map(({ nc }) => reconcile(nc, OPTIONS)));
    expect(await reconcile(other.nc, OPTIONS)).toMatchObject(UNTOUCHED);
  });

  test("numbers a log that is made anew higher than the one that was lost", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    const { config } = await jsm.streams.info("HF_LOG_0");
    await jsm.streams.delete("HF_LOG_0");
    await delay(1_100);
    await reconcile(connection.nc, OPTIONS);
    const again = await jsm.streams.info("HF_LOG_0");
    // A million messages for every second since.
    expect(again.config.first_seq).toBeGreaterThanOrEqual(config.first_seq + 1_000_000);
    expect(Number.isSafeInteger(again.config.first_seq + 1e12)).toBe(true);
  });

  test("has buckets that any NATS tool can read", async () => {
    await reconcile(connection.nc, OPTIONS);
    const kv = await new Kvm(connection.nc).open("hf_app", { allow_direct: true });
    await kv.put("demo", "{}");
    expect((await kv.get("demo"))?.string()).toBe("{}");
    expect(await kv.status()).toMatchObject({ history: 1, ttl: 0, storage: "file", replicas: 1 });
  });

  test("republishes what is sent to a room, with its number", async () => {
    await reconcile(connection.nc, OPTIONS);
    const room = { kind: "room", app: "demo", id: "lobby" } as const;
    const got: (string | undefined)[] = [];
    connection.nc.subscribe(channelLiveSubject(room), {
      callback: (_, message) => void got.push(message.headers?.get("Nats-Sequence")),
    });
    connection.nc.publish(channelInSubject(room), bytes("hello"));
    await expect.poll(() => got.length).toBe(1);
    // So high that it grows when the stream is lost and made anew.
    expect(Number(got[0])).toBeGreaterThan(1e15);
  });
});

describe("a server that was set up before", () => {
  test("keeps the limits that it has, and is told where they are not as it was set up", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    await jsm.streams.delete("HF_ROOM");
    const subjects = ["hf.chan.in.>"];
    await jsm.streams.add({ name: "HF_ROOM", subjects, max_msgs_per_subject: 5, max_age: 3e11 });
    await jsm.streams.update("HF_LOG_1", { max_bytes: 1e8 });

    const { created, changed, differing } = await reconcile(connection.nc, OPTIONS);

    expect(created).toEqual([]);
    // What rooms cannot do without.
    expect(changed.toSorted()).toEqual([
      "HF_ROOM: allow_direct none → true",
      "HF_ROOM: republish none → dest=hf.chan.live.> src=hf.chan.in.>",
    ]);
    expect(differing).toEqual([
      "HF_LOG_1: max_bytes 100000000 → 67108864",
      "HF_ROOM: max_msgs_per_subject 5 → 1000",
    ]);
    expect((await jsm.streams.info("HF_LOG_1")).config.max_bytes).toBe(1e8);
    expect((await jsm.streams.info("HF_ROOM")).config.max_msgs_per_subject).toBe(5);
  });

  test("is not changed by a start with other options", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    const before = await configs(jsm);

    // More copies than this server can have: an attempt to change any stream would fail.
    const other = { ...OPTIONS, replicas: 3, logMaxBytes: 1_048_576, mailMaxBytes: 1_048_576 };
    const { deployment, created, changed, differing } = await reconcile(connection.nc, other);

    expect({ created, changed, differing }).toEqual(UNTOUCHED);
    expect(deployment).toEqual(OPTIONS);
    expect(await configs(jsm)).toEqual(before);
  });

  test("of before the limits were written down is taken as it is", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    const old = encodeJson({ partitions: 8, logStreams: 2 });
    await jetstream(connection.nc).publish("$KV.hf_meta.deployment", old);
    await jsm.streams.update("HF_UPLINK", { max_bytes: 5e7 });
    const before = await configs(jsm);
    const asItIs = { ...OPTIONS, uplinkMaxBytes: 5e7 };
    expect(await readDeployment(connection.nc)).toEqual(asItIs);

    const other = { ...OPTIONS, replicas: 3, logMaxBytes: 1_048_576 };
    const { deployment } = await reconcile(connection.nc, other);

    expect(deployment).toEqual(asItIs);
    expect(await configs(jsm)).toEqual(before);
    expect(await readRecord(connection.nc)).toMatchObject({ incomplete: false });
  });

  test("keeps what the operator has set besides", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    await jsm.streams.update("HF_LOG_0", { description: "the log", allow_direct: false });
    await reconcile(connection.nc, OPTIONS);
    const { config } = await jsm.streams.info("HF_LOG_0");
    expect(config).toMatchObject({ description: "the log", allow_direct: true });
  });

  test("is left as it is when something cannot be changed; every such field is named", async () => {
    const jsm = await manager();
    const storage = StorageType.Memory;
    await jsm.streams.add({ name: "HF_LOG_0", subjects: ["hf.log.0.>"], storage });
    await jsm.streams.add({ name: "KV_hf_route", subjects: ["$KV.hf_route.>"], storage });
    const retention = RetentionPolicy.Workqueue;
    await jsm.streams.add({ name: "HF_UPLINK", subjects: ["hf.up.>"], retention });
    const failure = reconcile(connection.nc, OPTIONS);
    await expect(failure).rejects.toMatchObject({ code: "conflict" });
    await expect(failure).rejects.toThrow(
      [
        "existing streams cannot be changed to what is needed:",
        "  - KV_hf_route: storage is memory, must be file",
        "  - HF_LOG_0: storage is memory, must be file",
        "  - HF_UPLINK: retention is workqueue, must be limits",
      ].join("\n"),
    );
    const names = await jsm.streams.names().next();
    expect(names.toSorted()).toEqual(["HF_LOG_0", "HF_UPLINK", "KV_hf_route"]);
  });

  test("says which of its streams overlaps with a stranger's", async () => {
    await (await manager()).streams.add({ name: "OTHERS", subjects: ["hf.up.*.*"] });
    await expect(reconcile(connection.nc, OPTIONS)).rejects.toThrow(/cannot create HF_UPLINK/);
  });
});

describe("the constants of a deployment", () => {
  test("are those of the first start, for every role to read", async () => {
    expect(await readDeployment(connection.nc)).toBeUndefined();
    await reconcile(connection.nc, OPTIONS);
    expect(await readDeployment(connection.nc)).toEqual(OPTIONS);
  });

  test("cannot be changed by a later start, which is told both numbers", async () => {
    await reconcile(connection.nc, OPTIONS);
    const failure = reconcile(connection.nc, { ...OPTIONS, partitions: 16, logStreams: 4 });
    await expect(failure).rejects.toMatchObject({ code: "conflict" });
    await expect(failure).rejects.toThrow(/set up with 8 partitions and cannot be run with 16/);
    await expect(failure).rejects.toThrow(/set up with 2 log streams and cannot be run with 4/);
    expect(await reconcile(connection.nc, OPTIONS)).toMatchObject(UNTOUCHED);
  });

  test("are the same for all when two first starts disagree", async () => {
    const outcomes = await Promise.allSettled([
      reconcile(connection.nc, OPTIONS),
      reconcile(connection.nc, { ...OPTIONS, partitions: 16 }),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  });

  test("must give every log stream a partition", async () => {
    await expect(reconcile(connection.nc, { ...OPTIONS, logStreams: 9 })).rejects.toMatchObject({
      code: "invalid",
    });
  });
});

describe("new limits", () => {
  const TENTH = 6_000_000;

  test("are given to streams that are there, and shown before", async () => {
    await reconcile(connection.nc, OPTIONS);
    const wanted = { ...OPTIONS, logMaxBytes: TENTH, mailMaxBytes: TENTH };
    const changes = [
      `HF_LOG_0: max_bytes 67108864 → ${TENTH}`,
      `HF_LOG_1: max_bytes 67108864 → ${TENTH}`,
      `HF_MAIL: max_bytes -1 → ${TENTH}`,
    ];
    const jsm = await manager();
    expect(await changeLimits(connection.nc, wanted, { dry: true })).toEqual(changes);
    expect((await jsm.streams.info("HF_MAIL")).config.max_bytes).toBe(-1);
    expect(await changeLimits(connection.nc, wanted, { dry: false })).toEqual(changes);
    expect((await jsm.streams.info("HF_MAIL")).config.max_bytes).toBe(TENTH);
  });

  test("below what is stored are refused, and nothing is changed", async () => {
    await reconcile(connection.nc, OPTIONS);
    const jsm = await manager();
    const payload = new Uint8Array(3_000);
    await jetstream(connection.nc).publish("hf.mail.0.demo.d1", payload);
    const before = await configs(jsm);
    const wanted = { ...OPTIONS, logMaxBytes: TENTH, mailMaxBytes: 2_000 };
    const failure = changeLimits(connection.nc, wanted, { dry: false });
    await expect(failure).rejects.toThrow(/HF_MAIL holds 3.0 KiB, more than 2.0 KiB/);
    expect(await configs(jsm)).toEqual(before);
  });
});

test("more copies than the server can keep is a clear error", async () => {
  const failure = reconcile(connection.nc, { ...OPTIONS, replicas: 3 });
  await expect(failure).rejects.toMatchObject({ code: "unsupported" });
  await expect(failure).rejects.toThrow(/KV_hf_meta: replicas > 1/);
});
