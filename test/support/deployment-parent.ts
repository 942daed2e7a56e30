/** Stands in for a worker of the test runner that is killed: starts a deployment, says so, and waits for its end. */
import { startDeployment } from "./deployment.ts";
import { testNats } from "./nats.ts";

const nats = await testNats();
const one = { access: 1, projectors: 1 };
const deployment = await startDeployment({ natsUrls: [nats.url], ...one, workers: 2 });
// One that is held cannot notice by itself that its parent is gone.
deployment.push.freeze();
console.log("started");
