import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { LogHandler, Mailbox } from "../../internal/bus/contract.ts";
import { NodeSender } from "../../internal/projector/delivery/node-sender.ts";
import { newDeliveryCounters } from "../../internal/projector/delivery/state.ts";
import { PartitionOwner } from "../../internal/projector/partition-owner.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { FakeAppender } from "../access/fakes.ts";
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
    async *list() {},
    load: () => new Promise(() => {}),
    purge: () => new Promise(() => {}),
  };
}

/** An owner at work, and the end of the log that it reads. */
async function startOwner(mailbox: Mailbox, clock: VirtualClock) {
  const log: LogHandler[] = [];
  const messages = new MemoryMessages();
  const owner = new PartitionOwner({
    partition: 0,
    id: "p1",
    clock,
    log: quietLogger,
    appender: new FakeAppender(),
    reader: {
      read(_partition, _after, handler) {
        log.push(handler);
        return { stop() {} };
      },
      lastSequence: async () => 0,
    },
    buckets: {
      route: new MemoryBucket(),
      user: new MemoryBucket(),
      lease: new MemoryBucket(),
      checkpoint: new MemoryBucket(),
      snapshot: new MemoryBucket(),
    },
    delivery: {
      stores: {
        mailbox,
        receipts: { write() {}, read: async () => [] },
        full: new MemoryBucket(),
      },
      counters: newDeliveryCounters(),
      sender: new NodeSender(messages, quietLogger),
    },
    messages,
    fromStart: false,
    allowed: () => true,
    failed() {},
  });
  await owner.start();
  expect(owner.live).toBe(true);
  return { owner, log: log[0]! };
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
  log.record(1, acceptedRecord(clock.now() + 60_000));
  await eventually("the message is on its way to the mailbox", () => {
    clock.advance(1_000);
    return mailbox.asked === 1;
  });

  const closed = owner.close();
  owner.abandon();
  await closed;
});
