import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { testNats } from "./nats.ts";

test("a test gets a NATS server with JetStream that keeps port and data when it is killed", async () => {
  await using nats = await testNats();
  const before = await connect({ servers: nats.url });
  await (await jetstreamManager(before)).streams.add({ name: "KEPT", subjects: ["kept"] });
  await jetstream(before).publish("kept", "still here");
  await before.close();

  await nats.restart();

  await using after = await connect({ servers: nats.url });
  const { state } = await (await jetstreamManager(after)).streams.info("KEPT");
  expect(state.messages).toBe(1);
});

test("a stopped test server can be started again", async () => {
  await using nats = await testNats();
  await nats.stop();
  await expect(connect({ servers: nats.url, reconnect: false })).rejects.toThrow();
  await nats.start();
  await using connection = await connect({ servers: nats.url });
  expect(connection.info?.jetstream).toBe(true);
});

test("a test can take JetStream out of its server", async () => {
  await using nats = await testNats({ config: { jetstream: undefined } });
  await using connection = await connect({ servers: nats.url });
  expect(connection.info?.jetstream).toBeFalsy();
});
