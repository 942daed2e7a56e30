import { type Deployment, startDeployment } from "../../support/deployment.ts";
import type { TestNats } from "../../support/nats.ts";
import { CpuOf } from "./cpu.ts";

/** One process of each role, or some for the clients, each with so many workers. */
export function startForBench(nats: TestNats, workers = 1, access = 1): Promise<Deployment> {
  return startDeployment({
    natsUrls: [nats.url],
    access,
    workers,
    projectors: 1,
    // The load does not ping.
    env: { HOLDFAST_HEARTBEAT_SECONDS: "600" },
  });
}

/** Where the clients of the only access process connect. */
export function clientPort({ access: [node] }: Deployment): number {
  if (node === undefined) throw new Error("no access node");
  return Number(new URL(node.wsUrl).port);
}

/** CPU time by role from now on. */
export function cpuByRole(deployment: Deployment, nats: TestNats, clients: number[] = []): CpuOf {
  const { control, push, projectors, access } = deployment;
  const pid = (member: { process: { child: { pid?: number | undefined } } }) =>
    member.process.child.pid ?? 0;
  return new CpuOf({
    control: [pid(control)],
    push: [pid(push)],
    projector: projectors.map(pid),
    access: access.map(pid),
    nats: nats.pid === undefined ? [] : [nats.pid],
    clients,
  });
}
