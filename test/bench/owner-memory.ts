/**
 * How much heap the owner of a partition needs for each device: the real owner, over buckets that
 * take everything and keep nothing. Run it with `npm run bench -- owner-memory`.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Bucket, LogHandler } from "../../internal/bus/contract.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { Ground } from "../projector/owner-support.ts";
import { type EventBody, eventsOf } from "../support/log-events.ts";
import type { VirtualClock } from "../support/virtual-clock.ts";
import { printSetting } from "./support/report.ts";

const DEVICES = 50_000;
/** Longer than an owner remembers a device that has left. */
const LONG_AGO_MS = 15 * 60 * 1_000;
const NODE = "access_1-mabcdef";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function forgetfulBucket(): Bucket {
  let revision = 0;
  return {
    get: async () => undefined,
    latest: async () => undefined,
    getMany: async (keys) => keys.map(() => undefined),
    async *list() {},
    watch: async () => ({ stop() {} }),
    put(_key, _value, _expected, done) {
      revision += 1;
      const stored = revision;
      queueMicrotask(() => done({ kind: "stored", revision: stored }));
    },
    delete: (_key, _expected, done) => queueMicrotask(() => done({ kind: "stored", revision: 0 })),
  };
}

async function heap(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    await new Promise(setImmediate);
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

/** One record after the other, as an access node with these devices appends them. */
function recordsOf(clock: VirtualClock, log: LogHandler) {
  let sequence = 0;
  const write = (event: EventBody) => {
    sequence += 1;
    const about = { atMs: BigInt(clock.now()), number: BigInt(sequence), stored: BigInt(sequence) };
    const record = create(RecordSchema, { ...about, body: eventsOf(NODE, event) });
    log.record(sequence, toBinary(RecordSchema, record), clock.now());
  };
  return {
    connected(i: number, counter: number): void {
      const connection = {
        id: `${NODE}.${counter}`,
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
      const about = { connectionId: `${NODE}.${counter}`, app: "demo", device: `device_${i}` };
      write({ case: "disconnected", value: { ...about, reason: "client-closed" } });
    },
  };
}

const ground = new Ground();
const logs: LogHandler[] = [];
const owner = await ground.started("p1", {
  state: {
    append: (...[, , , stored]) => stored?.(0, false),
    forget() {},
    ready: true,
    backlog: 0,
  },
  reader: {
    read(_partition, _after, handler) {
      logs.push(handler);
      return { stop() {}, pause() {}, resume() {} };
    },
    lastSequence: async () => 0,
    holds: async () => true,
  },
  buckets: {
    route: forgetfulBucket(),
    user: forgetfulBucket(),
    checkpoint: forgetfulBucket(),
    snapshot: forgetfulBucket(),
  },
});
const [log] = logs;
if (log === undefined) throw new Error("the owner does not read its log");
const records = recordsOf(ground.clock, log);
printSetting();
const empty = await heap();
const print = async (what: string) => {
  console.log(`${what}: ${Math.round(((await heap()) - empty) / DEVICES)} bytes each`);
};
for (let i = 0; i < DEVICES; i++) {
  records.connected(i, i + 1);
  if (i % 500 === 0) await ground.pass(0);
}
await ground.pass(10_000);
await print("online");
for (let i = 0; i < DEVICES; i++) {
  records.disconnected(i, i + 1);
  if (i % 500 === 0) await ground.pass(0);
}
await ground.pass(10_000);
await print("gone a moment ago");
await ground.pass(LONG_AGO_MS);
await print("known, gone for a quarter of an hour");
if (owner.backlog > 0) throw new Error(`${owner.backlog} writes are left`);
