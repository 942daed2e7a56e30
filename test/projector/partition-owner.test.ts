import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { LogHandler, Mailbox } from "../../internal/bus/contract.ts";
import { NodeSender } from "../../internal/projector/delivery/node-sender.ts";
import { newDeliveryCounters } from "../../internal/projector/delivery/state.ts";
import { PartitionOwner } from "../../internal/projector/partition-owner.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { eventually } from "../support/eventually.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

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

/** An owner at work, and the end of the log that it reads. */
async function startOwner(mailbox: Mailbox, clock: VirtualClock) {
  const log: LogHandler[] = [];
  /** Events on their way to the state stream. */
  const told: (() => void)[] = [];
  const reading = { paused: false };
  const messages = new MemoryMessages();
  const owner = new PartitionOwner({
    partition: 0,
    id: "p1",
    clock,
    log: quietLogger,
    state: {
      append: (_key, _subject, _payload, stored) => void told.push(() => stored(1, false)),
      forget() {},
      ready: true,
      backlog: 0,
    },
    reader: {
      read(_partition, _after, handler) {
        log.push(handler);
        return {
          stop() {},
          pause() {
            reading.paused = true;
          },
          resume() {
            reading.paused = false;
          },
        };
      },
      lastSequence: async () => 0,
      holds: async () => true,
    },
    buckets: {
      route: new MemoryBucket(),
      user: new MemoryBucket(),
      lease: new MemoryBucket(),
      checkpoint: new MemoryBucket(),
    },
    delivery: {
      stores: {
        mailbox,
        receipts: { write() {}, read: async () => [] },
        marks: new MemoryBucket(),
      },
      counters: newDeliveryCounters(),
      sender: new NodeSender(messages, quietLogger),
      lastRead: new Map(),
    },
    messages,
    fromStart: false,
    allowed: () => true,
    failed() {},
  });
  await owner.start();
  expect(owner.live).toBe(true);
  return { owner, log: log[0]!, reading, told };
}

/** A must-arrive message for a device that is not connected. */
function acceptedRecord(expiresAtMs: number): Uint8Array {
  const value = {
    app: "demo",
    device: "away",
    messageId: "m1",
    business: "test",
    expiresAtMs: BigInt(expiresAtMs),
  };
  return toBinary(
    RecordSchema,
    create(RecordSchema, { atMs: 1n, body: { case: "accepted", value } }),
  );
}

test("an owner that loses its lease while it waits for the mailbox to hand over does not wait for ever", async () => {
  const clock = new VirtualClock();
  const mailbox = silentMailbox();
  const { owner, log } = await startOwner(mailbox, clock);
  log.record(1, acceptedRecord(clock.now() + 60_000), clock.now());
  await eventually("the message is on its way to the mailbox", () => {
    clock.advance(1_000);
    return mailbox.asked === 1;
  });

  const closed = owner.close();
  owner.abandon();
  await closed;
});

/** A device that comes online. */
function connectedRecord(number: number): Uint8Array {
  const connection = { id: `n-1.${number}`, app: "demo", device: `d${number}`, openedAtMs: 1n };
  const body = { case: "connected", value: { connection } } as const;
  return toBinary(RecordSchema, create(RecordSchema, { atMs: 1n, number: BigInt(number), body }));
}

test("an owner whose events are not stored takes no more records, until they are", async () => {
  const clock = new VirtualClock();
  const { owner, log, reading, told } = await startOwner(silentMailbox(), clock);
  let number = 0;
  while (!reading.paused && number < 100_000) {
    number += 1;
    log.record(number, connectedRecord(number), clock.now());
  }
  expect(number).toBeLessThan(10_000);
  expect(told).toHaveLength(number);
  for (const stored of told) stored();
  expect(reading.paused).toBe(false);
  owner.abandon();
});
