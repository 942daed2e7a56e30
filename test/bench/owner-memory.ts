/**
 * How much heap the owner of a partition needs for each device: the real owner, over buckets that
 * take everything and keep nothing. Run it with `npm run bench -- owner-memory`.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Bucket, LogHandler } from "../../internal/bus/contract.ts";
import { NodeSender } from "../../internal/projector/delivery/node-sender.ts";
import { newDeliveryCounters } from "../../internal/projector/delivery/state.ts";
import { PartitionOwner } from "../../internal/projector/partition-owner.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { FakeAppender } from "../access/fakes.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { printSetting } from "./support/report.ts";

const DEVICES = 50_000;
/** Longer than an owner remembers a device that has left. */
const LONG_AGO_MS = 15 * 60 * 1_000;

function forgetfulBucket(): Bucket {
  let revision = 0;
  return {
    get: async () => undefined,
    latest: async () => undefined,
    getMany: async (keys) => keys.map(() => undefined),
    async *list() {},
    watch: async () => ({ stop() {} }),
    put: (_key, _value, _expected, done) => {
      revision += 1;
      const stored = revision;
      queueMicrotask(() => done({ kind: "stored", revision: stored }));
    },
    delete: (_key, _expected, done) => queueMicrotask(() => done({ kind: "stored", revision: 0 })),
  };
}

async function startOwner(
  clock: VirtualClock,
): Promise<{ owner: PartitionOwner; log: LogHandler }> {
  const logs: LogHandler[] = [];
  const messages = new MemoryMessages();
  const appender = new FakeAppender();
  appender.append = (_subject, _payload, stored) => stored?.(0, false);
  const owner = new PartitionOwner({
    partition: 0,
    id: "p1",
    clock,
    log: quietLogger,
    appender,
    reader: {
      read(_partition, _after, handler) {
        logs.push(handler);
        return { stop() {} };
      },
      lastSequence: async () => 0,
    },
    buckets: {
      route: forgetfulBucket(),
      user: forgetfulBucket(),
      lease: forgetfulBucket(),
      checkpoint: forgetfulBucket(),
      snapshot: forgetfulBucket(),
    },
    delivery: {
      stores: {
        mailbox: {
          put() {},
          async *list() {},
          load: async () => new Map(),
          purge: async () => {},
        },
        receipts: { write() {}, read: async () => [] },
        full: forgetfulBucket(),
      },
      counters: newDeliveryCounters(),
      sender: new NodeSender(messages, quietLogger),
    },
    messages,
    fromStart: false,
    allowed: () => true,
    failed: (why) => console.error(`the owner failed: ${why}`),
  });
  await owner.start();
  const log = logs[0];
  if (log === undefined) throw new Error("the owner does not read its log");
  return { owner, log };
}

async function heap(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    await new Promise(setImmediate);
    globalThis.gc?.();
  }
  return process.memoryUsage().heapUsed;
}

/** One record after the other, as an access node with these devices appends them. */
function recordsOf(clock: VirtualClock, log: LogHandler) {
  let sequence = 0;
  const write = (body: NonNullable<Parameters<typeof create<typeof RecordSchema>>[1]>["body"]) => {
    sequence += 1;
    const atMs = BigInt(clock.now());
    const record = create(RecordSchema, { atMs, number: BigInt(sequence), body: body! });
    log.record(sequence, toBinary(RecordSchema, record));
  };
  return {
    connected(i: number, counter: number): void {
      const connection = {
        id: `access_1-mabcdef.${counter}`,
        app: "demo",
        device: `device_${i}`,
        user: `user_${i}`,
        openedAtMs: BigInt(clock.now()),
        client: { platform: "android", appVersion: "7.1.0", sdk: "holdfast-js/1.0", network: "5g" },
        rooms: [`room_${i % 500}`],
        address: `192.0.${i % 200}.${i % 250}`,
        businesses: ["chat"],
      };
      write({ case: "connected", value: { connection } });
    },
    disconnected(i: number, counter: number): void {
      const connectionId = `access_1-mabcdef.${counter}`;
      const about = { connectionId, app: "demo", device: `device_${i}` };
      write({ case: "disconnected", value: { ...about, reason: "client-closed" } });
    },
  };
}

async function run(): Promise<void> {
  const clock = new VirtualClock();
  const { owner, log } = await startOwner(clock);
  const records = recordsOf(clock, log);
  const settle = async () => {
    for (let i = 0; i < 200; i++) {
      clock.advance(100);
      await new Promise(setImmediate);
    }
  };
  const empty = await heap();
  const each = async () => Math.round(((await heap()) - empty) / DEVICES);

  for (let i = 0; i < DEVICES; i++) {
    records.connected(i, i + 1);
    if (i % 500 === 0) await new Promise(setImmediate);
  }
  await settle();
  console.log(`online: ${await each()} bytes each`);

  for (let i = 0; i < DEVICES; i++) {
    records.disconnected(i, i + 1);
    if (i % 500 === 0) await new Promise(setImmediate);
  }
  await settle();
  console.log(`gone a moment ago: ${await each()} bytes each`);

  clock.advance(LONG_AGO_MS);
  await settle();
  console.log(`known, gone for a quarter of an hour: ${await each()} bytes each`);
  if (owner.backlog > 0) console.error(`${owner.backlog} writes are left`);
}

printSetting();
if (globalThis.gc === undefined) console.error("without --expose-gc the figures are too high");
await run();
