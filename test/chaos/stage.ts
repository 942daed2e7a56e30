/** The whole system on this machine, with everybody connected: what a chaos run is played on. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Deployment, startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { admit } from "../support/gateway.ts";
import { testCluster } from "../support/nats-cluster.ts";
import type { Admitted } from "./client-protocol.ts";
import { Clients } from "./clients.ts";
import type { Victim } from "./nemesis.ts";

export interface StageOptions {
  /** Where histories and logs are written. */
  folder: string;
  seed: number;
  clients: number;
  clientProcesses?: number;
  /** The share of messages that clients acknowledge and lose, to see the checker find it. */
  forgets?: number;
}

export interface Stage extends AsyncDisposable {
  readonly deployment: Deployment;
  readonly natsUrls: readonly string[];
  readonly clients: Clients;
  readonly devices: readonly string[];
  readonly folder: string;
  /** Names of the processes that may be struck, by kind, and the processes. */
  readonly kinds: { access: string[]; projector: string[]; nats: string[] };
  readonly victims: ReadonlyMap<string, Victim>;
  /** Resolves when every client but these is connected. */
  everybodyOnline(but?: readonly string[]): Promise<void>;
}

const ADMISSIONS_AT_ONCE = 32;
const ONLINE_WITHIN_MS = 90_000;

export async function setStage(options: StageOptions): Promise<Stage> {
  const { folder, seed, clients: count, clientProcesses = 1, forgets = 0 } = options;
  await mkdir(folder, { recursive: true });
  await using started = new AsyncDisposableStack();
  const cluster = started.use(await testCluster());
  const deployment = started.use(
    await startDeployment({
      natsUrls: cluster.urls,
      access: 2,
      projectors: 2,
      env: { HOLDFAST_REPLICAS: "3" },
    }),
  );
  started.defer(() => keepLogs(deployment, folder));

  const devices = Array.from({ length: count }, (_, index) => `d${index + 1}`);
  const clients = started.use(
    await Clients.start({
      devices: await admitAll(deployment.controlUrl, devices),
      urls: deployment.access.map((node) => node.wsUrl),
      folder,
      seed,
      processes: clientProcesses,
      forgets,
    }),
  );
  const everybodyOnline = async (but: readonly string[] = []) => {
    const expected = devices.length - but.length;
    await eventually(
      "every client is connected",
      async () => (await clients.report()).online === expected,
      { withinMs: ONLINE_WITHIN_MS, everyMs: 250 },
    );
  };
  await everybodyOnline();

  const { access, projectors } = deployment;
  const struck = [...access, ...projectors, ...cluster.servers];
  const names = (members: readonly { name: string }[]) => members.map((member) => member.name);
  const running = started.move();
  return {
    deployment,
    natsUrls: cluster.urls,
    clients,
    devices,
    folder,
    kinds: { access: names(access), projector: names(projectors), nats: names(cluster.servers) },
    victims: new Map(struck.map((victim) => [victim.name, victim])),
    everybodyOnline,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function admitAll(controlUrl: string, devices: readonly string[]): Promise<Admitted[]> {
  const admitted: Admitted[] = [];
  const waiting = [...devices];
  const worker = async () => {
    for (let device = waiting.pop(); device !== undefined; device = waiting.pop()) {
      const { token } = await admit(controlUrl, device);
      admitted.push({ device, token });
    }
  };
  await Promise.all(Array.from({ length: ADMISSIONS_AT_ONCE }, worker));
  return admitted;
}

/** For whoever wonders what happened: what each process printed. */
async function keepLogs(deployment: Deployment, folder: string): Promise<void> {
  const logs = join(folder, "logs");
  await mkdir(logs, { recursive: true });
  const { control, push, access, projectors } = deployment;
  for (const member of [control, push, ...access, ...projectors]) {
    await writeFile(join(logs, `${member.name}.log`), `${member.output().join("\n")}\n`);
  }
}
