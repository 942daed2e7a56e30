import { DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { connect } from "../../internal/bus/connect.ts";
import { pages } from "../../internal/bus/pages.ts";
import { testCluster } from "../support/nats-cluster.ts";

/** Without patience about one in twenty fails. */
const READINGS = 100;

test("a stream of a cluster can be listed through any of its servers, every time", async () => {
  await using cluster = await testCluster();
  for (const [index, url] of cluster.urls.entries()) {
    await using connection = await connect({
      urls: [url],
      name: "pages",
      events: { waiting() {}, fault: console.error },
    });
    if (index === 0) {
      const manager = await jetstreamManager(connection.nc);
      await manager.streams.add({ name: "KEPT", subjects: ["kept"], num_replicas: 3 });
      await jetstream(connection.nc).publish("kept", "here");
    }
    for (let reading = 0; reading < READINGS; reading++) {
      const all = pages(connection, "KEPT", { deliver_policy: DeliverPolicy.All });
      for await (const page of all) expect(page.length).toBeLessThanOrEqual(1);
    }
  }
});
