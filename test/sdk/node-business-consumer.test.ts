import { jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { StreamConsumer } from "../../sdk/node-business-consumer.ts";
import { eventually } from "../support/eventually.ts";
import { testNats } from "../support/nats.ts";

test("what was handled is acknowledged, also by a server that stops at once; what failed comes again", async () => {
  await using nats = await testNats();
  await using publisher = await connect({ servers: nats.url });
  const jsm = await jetstreamManager(publisher);
  const subjects = ["work"];
  await jsm.streams.add({ name: "WORK", subjects, retention: RetentionPolicy.Limits });
  for (let i = 0; i < 50; i++) publisher.publish("work", String(i));
  await publisher.flush();

  const handled: string[] = [];
  const failures: unknown[] = [];
  const server = await connect({ servers: nats.url });
  const consumer = new StreamConsumer(server, {
    stream: "WORK",
    subject: "work",
    durable: "server",
    underWay: 16,
    ackWaitMs: 60_000,
    handle: async (message) => {
      if (message.string() === "7" && !message.redelivered) throw new Error("not now");
      handled.push(message.string());
    },
    failed: (error) => failures.push(error),
  });
  await consumer.start();
  await eventually("all are handled", () => handled.length === 50);
  await consumer[Symbol.asyncDispose]();
  await server.drain();

  expect(new Set(handled).size).toBe(50);
  expect(handled.at(-1)).toBe("7");
  expect(failures).toHaveLength(1);
  const { num_ack_pending, num_redelivered, ack_floor } = await jsm.consumers.info(
    "WORK",
    "server",
  );
  expect({ num_ack_pending, num_redelivered, floor: ack_floor.stream_seq }).toEqual({
    num_ack_pending: 0,
    num_redelivered: 0,
    floor: 50,
  });
});
