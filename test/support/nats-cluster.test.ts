import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { testCluster } from "./nats-cluster.ts";
import { patient } from "./patience.ts";

const cluster = await testCluster();
afterAll(() => cluster[Symbol.asyncDispose]());

test("a stream with three copies keeps every message when its leader is killed, and takes new ones", async () => {
  await using connection = await connect({ servers: cluster.urls, maxReconnectAttempts: -1 });
  const manager = await jetstreamManager(connection);
  const made = await manager.streams.add({ name: "KEPT", subjects: ["kept"], num_replicas: 3 });
  const leader = cluster.server(made.cluster?.leader ?? "");
  const client = jetstream(connection);
  // That there is such a stream reaches the other servers a moment after its maker.
  await eventually("it takes a message", async () =>
    client.publish("kept", "before 1", { msgID: "before 1" }).catch(() => undefined),
  );
  for (let n = 2; n <= 20; n++) await client.publish("kept", `before ${n}`);

  await leader.kill();
  await eventually("another leader takes a message", async () =>
    client.publish("kept", "after", { msgID: "after", timeout: 1_000 }).catch(() => undefined),
  );
  expect((await manager.streams.info("KEPT")).state.messages).toBe(21);

  await leader.start();
  await eventually("the killed server has every message again", async () => {
    const info = await manager.streams.info("KEPT").catch(() => undefined);
    const copies = info?.cluster?.replicas ?? [];
    return copies.length === 2 && copies.every((copy) => copy.current && !copy.offline);
  });
});

test("a frozen leader is passed over, and goes on with the rest when it thaws", {
  timeout: patient(60_000),
}, async () => {
  await using connection = await connect({
    servers: cluster.urls,
    maxReconnectAttempts: -1,
    pingInterval: 1_000,
  });
  const manager = await jetstreamManager(connection);
  const made = await manager.streams.add({ name: "FROZEN", subjects: ["frozen"], num_replicas: 3 });
  const leader = cluster.server(made.cluster?.leader ?? "");

  await leader.freeze();
  await eventually("another leader takes a message", async () =>
    jetstream(connection)
      .publish("frozen", "after", { msgID: "after", timeout: 1_000 })
      .catch(() => undefined),
  );

  await leader.thaw();
  await using direct = await connect({ servers: leader.url });
  const seen = await jetstreamManager(direct, { checkAPI: false });
  await eventually("it answers with what was stored without it", async () => {
    const info = await seen.streams.info("FROZEN").catch(() => undefined);
    return info?.state.messages === 1 && info.cluster?.leader !== leader.name;
  });
});
