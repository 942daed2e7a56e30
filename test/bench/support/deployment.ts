import { type Deployment, startDeployment } from "../../support/deployment.ts";
import type { TestNats } from "../../support/nats.ts";

/** One process of each role. */
export function startForBench(nats: TestNats): Promise<Deployment> {
  return startDeployment({
    natsUrls: [nats.url],
    access: 1,
    projectors: 1,
    // The load does not ping.
    env: { HOLDFAST_HEARTBEAT_SECONDS: "600" },
  });
}
