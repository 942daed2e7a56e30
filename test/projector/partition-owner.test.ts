import { expect, test } from "vitest";
import type { Mailbox } from "../../internal/bus/contract.ts";
import { NodeSender } from "../../internal/projector/delivery/node-sender.ts";
import { newDeliveryCounters } from "../../internal/projector/delivery/state.ts";
import { eventually } from "../support/eventually.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { Ground } from "./owner-support.ts";

const MINUTE_MS = 60_000;

/** Takes everything and answers nothing, as JetStream does while it has no leader. */
function silentMailbox(): Mailbox & { asked: number } {
  return {
    asked: 0,
    put() {
      this.asked++;
    },
    forget() {},
    async *list() {},
    load: () => new Promise(() => {}),
    purge: () => new Promise(() => {}),
  };
}

test("an owner that loses its lease while it waits for the mailbox to hand over does not wait for ever", async () => {
  const ground = new Ground();
  const mailbox = silentMailbox();
  const receipts = { write() {}, read: async () => [] };
  const owner = await ground.started("p1", {
    delivery: {
      stores: { mailbox, receipts, marks: new MemoryBucket() },
      counters: newDeliveryCounters(),
      sender: new NodeSender(ground.messages, quietLogger),
      lastRead: new Map(),
    },
  });
  expect(owner.live).toBe(true);
  ground.log.append({
    case: "accepted",
    value: {
      app: "demo",
      device: "away",
      messageId: "m1",
      business: "test",
      expiresAtMs: BigInt(ground.clock.now() + MINUTE_MS),
    },
  });
  await eventually("the message is on its way to the mailbox", () => {
    ground.clock.advance(1_000);
    return mailbox.asked === 1;
  });

  const closed = owner.close();
  owner.abandon();
  await closed;
});

test("a device that left ten minutes ago is in the bucket only, and its next login finds it there", async () => {
  const ground = new Ground();
  const owner = await ground.started("p1");
  ground.log.connected({ id: "a.1", device: "d1", user: "u" });
  ground.log.connected({ id: "a.2", device: "d2", user: "u" });
  const left = ground.log.disconnected("a.1", "d1");
  await ground.pass(9 * MINUTE_MS);
  expect(owner.table.device("demo", "d1")?.route.online).toBe(false);
  await ground.pass(2 * MINUTE_MS);
  expect([...owner.table.devices.values()].map(({ route }) => route.device)).toEqual(["d2"]);
  expect([...owner.table.users.members("demo", "u")]).toHaveLength(1);
  expect(ground.stored("d1")).toMatchObject({ online: false, sequence: left });

  const back = ground.log.connected({ id: "a.3", device: "d1", user: "u" });
  await ground.pass(2_000);
  expect(ground.stored("d1")).toMatchObject({ online: true, sequence: back });
  expect([owner.backlog, ground.failures]).toEqual([0, []]);
});

test("a device is not forgotten before the bucket has its route", async () => {
  const ground = new Ground();
  const owner = await ground.started("p1");
  ground.log.connected({ id: "a.1", device: "d1" });
  await ground.pass(2_000);
  const { put } = ground.buckets.route;
  ground.buckets.route.put = (_key, _value, _expected, done) => done({ kind: "unknown" });
  ground.log.disconnected("a.1", "d1");
  await ground.pass(15 * MINUTE_MS);
  expect(owner.table.device("demo", "d1")?.route.online).toBe(false);
  ground.buckets.route.put = put;
  await ground.pass(3_000);
  expect(owner.table.devices.size).toBe(0);
  expect(ground.stored("d1")).toMatchObject({ online: false });
});

test("buckets without a leader for a while cost an owner nothing but time", async () => {
  const ground = new Ground();
  await ground.started("p1");
  const { route, checkpoint } = ground.buckets;
  const puts = [route.put, checkpoint.put] as const;
  for (const bucket of [route, checkpoint]) {
    bucket.put = (_key, _value, _expected, done) => done({ kind: "unknown" });
    bucket.getMany = () => Promise.reject(new Error("no leader"));
    bucket.latest = () => Promise.reject(new Error("no leader"));
  }
  const on = ground.log.connected({ id: "a.1", device: "d1" });
  await ground.pass(9_000);
  for (const [i, bucket] of [route, checkpoint].entries()) {
    bucket.put = puts[i] ?? bucket.put;
    bucket.getMany = MemoryBucket.prototype.getMany;
    bucket.latest = MemoryBucket.prototype.latest;
  }
  await ground.pass(3_000);
  expect(ground.stored("d1")).toMatchObject({ online: true, sequence: on });
  expect(ground.failures).toEqual([]);
});

test("a partition to which nobody is connected, and of which nobody asks, is not asked where it ends", async () => {
  const ground = new Ground();
  const owner = await ground.started("p1");
  await ground.pass(5_000);
  const { asked } = ground.log;
  await ground.pass(10 * MINUTE_MS);
  expect([ground.log.asked, owner.lagMs]).toEqual([asked, 0]);
});

test("an owner says how long its log has waited for it", async () => {
  const ground = new Ground();
  const owner = await ground.started("p1");
  ground.log.connected({ id: "a.1", device: "d1" });
  await ground.pass(5_000);
  expect(owner.lagMs).toBe(0);
  ground.log.pause();
  ground.log.connected({ id: "a.2", device: "d2" });
  await ground.pass(20_000);
  expect(owner.lagMs).toBeGreaterThan(5_000);
  ground.log.resume();
  await ground.pass(5_000);
  expect(owner.lagMs).toBe(0);
});

test("an owner whose events are not stored takes no more records, until they are", async () => {
  const ground = new Ground();
  const told: (() => void)[] = [];
  const owner = await ground.started("p1", {
    state: {
      append: (_key, _subject, _payload, stored) => void told.push(() => stored(1, false)),
      forget() {},
      ready: true,
      backlog: 0,
    },
  });
  let number = 0;
  while (!ground.log.paused && number < 100_000) {
    number += 1;
    ground.log.connected({ id: `n-1.${number}`, device: `d${number}` });
  }
  expect(number).toBeLessThan(10_000);
  expect(told).toHaveLength(number);
  for (const stored of told) stored();
  expect(ground.log.paused).toBe(false);
  owner.abandon();
});
