import { setTimeout as delay } from "node:timers/promises";
import { test } from "vitest";
import { untilAnswered } from "../../cmd/patience.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { eventually } from "../support/eventually.ts";
import { quietLogger } from "../support/logger.ts";
import { testCluster } from "../support/nats-cluster.ts";
import { patient } from "../support/patience.ts";
import { connectTo } from "./support.ts";

test("several roles can set up a new cluster at once, each over another server", {
  timeout: patient(60_000),
}, async () => {
  await using cluster = await testCluster();
  const options = { partitions: 16, logStreams: 1, replicas: 3, logMaxBytes: 64 * 1024 * 1024 };
  const role = { log: quietLogger, signal: new AbortController().signal };
  const connections = await Promise.all([...cluster.servers, ...cluster.servers].map(connectTo));

  // A tenth of a second between them, so that some find a stream that is only just being made.
  await Promise.all(
    connections.map(async ({ nc }, place) => {
      await delay(100 * place);
      await untilAnswered(role, () => reconcile(nc, options));
    }),
  );

  await eventually("nothing is left to do", async () => {
    const again = await reconcile(connections[0]!.nc, options).catch(() => undefined);
    return again !== undefined && [...again.created, ...again.changed].length === 0;
  });
  for (const connection of connections) await connection.close();
});
