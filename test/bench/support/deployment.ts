import { type Deployment, startDeployment } from "../../support/deployment.ts";
import type { TestNats } from "../../support/nats.ts";

/** One process of each role, or some for the clients. */
export function startForBench(nats: TestNats, access = 1): Promise<Deployment> {
  return startDeployment({
    natsUrls: [nats.url],
    access,
    projectors: 1,
    // The load does not ping.
    env: { HOLDFAST_HEARTBEAT_SECONDS: "600" },
  });
}
