/** The whole system on this machine, with everybody connected: what a chaos run is played on. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Deployment, startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { admit } from "../support/gateway.ts";
import type { TestCluster } from "../support/nats-cluster.ts";
import type { Admitted } from "./client-protocol.ts";
import { Clients, type CrowdOptions } from "./clients.ts";
import type { Victim } from "./nemesis.ts";
import { type Fault, planFaults, type ServerFault } from "./nemesis-plan.ts";
import { type LostTail, startClusterToStrike } from "./server-faults.ts";

export interface StageOptions {
  /** Where histories and logs are written. */
  folder: string;
  seed: number;
  clients: number;
  clientProcesses?: number;
  /** The share of messages that clients acknowledge and lose, to see the checker find it. */
  forgets?: number;
  /** What the clients are made with. Default: bare sockets that behave worse. */
  kind?: "bare" | "sdk";
  /** Servers acknowledge only what is on their disks. */
  syncAlways?: boolean;
  /** What happens to NATS servers besides being killed and held. */
  faults?: readonly ServerFault[];
  /** For processes that are held. */
  longestFreezeMs?: number;
  report?(line: string): void;
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
  readonly cluster: TestCluster;
  /** What servers may have lost so far. */
  readonly lostTails: readonly LostTail[];
  /** The faults of a run on everything that may be struck. */
  plan(seed: number, seconds: number): Fault[];
  /** More clients, beside those who are connected already. */
  moreClients(writer: string, devices: readonly string[], options: MoreClients): Promise<Clients>;
  /** Resolves when every client but these is connected. */
  everybodyOnline(but?: readonly string[]): Promise<void>;
}

export type MoreClients = Partial<Pick<CrowdOptions, "kind" | "spreadMs">>;

/** A part of a small disk, so that every stream finds room. */
const LOG_SHARE = 8;
const ADMISSIONS_AT_ONCE = 32;
const ONLINE_WITHIN_MS = 90_000;

export async function setStage(options: StageOptions): Promise<Stage> {
  const { folder, seed, clients: count, clientProcesses = 1, forgets = 0 } = options;
  const { kind = "bare", syncAlways = false, faults = [], report = () => {} } = options;
  await mkdir(folder, { recursive: true });
  await using started = new AsyncDisposableStack();
  const struckCluster = started.use(await startClusterToStrike({ faults, syncAlways, report }));
  const { cluster, lostTails, more, smallestStoreBytes } = struckCluster;
  const logMaxBytes = Math.floor(smallestStoreBytes / LOG_SHARE);
  const deployment = started.use(
    await startDeployment({
      natsUrls: cluster.urls,
      access: 2,
      projectors: 2,
      env: {
        HOLDFAST_REPLICAS: "3",
        ...(Number.isFinite(logMaxBytes) && { HOLDFAST_LOG_MAX_BYTES: String(logMaxBytes) }),
      },
    }),
  );
  started.defer(() => keepLogs(deployment, folder));

  const devices = namesOf("d", count);
  const { controlUrl } = deployment;
  const startClients = async (
    names: readonly string[],
    own: MoreClients & { processes?: number; writer?: string },
  ) =>
    Clients.start({
      kind,
      ...own,
      devices:
        (own.kind ?? kind) === "sdk"
          ? names.map((device) => ({ device, token: "" }))
          : await admitAll(controlUrl, names),
      urls: deployment.access.map((node) => node.wsUrl),
      controlUrl,
      folder,
      seed,
      forgets,
    });
  const clients = started.use(await startClients(devices, { processes: clientProcesses }));
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
  const struck = [...access, ...projectors, ...struckCluster.victims];
  const names = (members: readonly { name: string }[]) => members.map((member) => member.name);
  const kinds = {
    access: names(access),
    projector: names(projectors),
    nats: names(cluster.servers),
  };
  const { longestFreezeMs } = options;
  const running = started.move();
  return {
    deployment,
    natsUrls: cluster.urls,
    clients,
    devices,
    folder,
    kinds,
    victims: new Map(struck.map((victim) => [victim.name, victim])),
    cluster,
    lostTails,
    everybodyOnline,
    plan: (seed, seconds) =>
      planFaults({
        seed,
        withinMs: seconds * 1_000,
        victims: kinds,
        more: { nats: more },
        ...(longestFreezeMs !== undefined && { longestFreezeMs }),
      }),
    moreClients: async (writer, names, own) =>
      running.use(await startClients(names, { ...own, writer })),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** `<prefix>1` and so on. */
export function namesOf(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
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
