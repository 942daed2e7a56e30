/**
 * What can happen to a NATS server of the cluster besides being killed and held. Each needs its servers on this machine,
 * and some need root; where that cannot be had they are left out, with a word.
 */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import {
  type ClusterServer,
  type ServerHome,
  type TestCluster,
  testCluster,
} from "../support/nats-cluster.ts";
import { isolatedHomes, smallStore, whyNotAsRoot } from "../support/root.ts";
import type { Victim } from "./nemesis.ts";
import type { MoreFaults, ServerFault } from "./nemesis-plan.ts";

const run = promisify(execFile);

export const SERVER_FAULTS: Readonly<Record<ServerFault, string>> = {
  cut: "a server loses every packet, and nobody is told (needs root)",
  fill: "the disk of a server is full, and later mended (needs root)",
  restore:
    "a server comes back with an older copy of its store; with --sync always with all that it had synced",
  "power-cut": "all servers are killed at once",
};

/** What a fault needs, and the rights to run it. */
const PROGRAMS: Partial<Record<ServerFault, "ip" | "mount">> = { cut: "ip", fill: "mount" };

/** What was accepted in this time may be lost, in Unix milliseconds. */
export interface LostTail {
  fromMs: number;
  toMs: number;
}

export interface StruckCluster extends AsyncDisposable {
  readonly cluster: TestCluster;
  readonly victims: (Victim & { name: string })[];
  readonly more: MoreFaults[];
  /** Grows while servers are struck. */
  readonly lostTails: readonly LostTail[];
  readonly smallestStoreBytes: number;
}

export interface StruckOptions {
  faults: readonly ServerFault[];
  /** Every acknowledged message is on the disk: then no tail is ever lost. */
  syncAlways: boolean;
  report(line: string): void;
}

const SIZE = 3;
const SMALL_STORE_MEGABYTES = 2_048;
/** How much older the copy is that comes back. */
const TAIL_MS = 2_000;
/** An acceptance is written down a moment after it was given. */
const HEARD_WITHIN_MS = 2_000;
/** The one with the small disk. */
const SMALL = SIZE - 1;

export async function startClusterToStrike(options: StruckOptions): Promise<StruckCluster> {
  const { syncAlways, report } = options;
  const faults = options.faults.filter((fault) => possible(fault, report));
  await using started = new AsyncDisposableStack();
  const network = faults.includes("cut") ? started.use(await isolatedHomes(SIZE)) : undefined;
  const fills = faults.includes("fill");
  const homes: ServerHome[] = network?.homes ?? Array.from({ length: SIZE }, () => ({}));
  if (fills) homes[SMALL] = { ...homes[SMALL], makeStore: smallStore(SMALL_STORE_MEGABYTES) };
  const cluster = started.use(
    await testCluster({
      syncInterval: syncAlways ? "always" : undefined,
      // Servers in containers can only be killed and held.
      homes: faults.length === 0 ? undefined : homes,
    }),
  );

  const lostTails: LostTail[] = [];
  const deedsOf = (server: ClusterServer, index: number): NonNullable<Victim["deeds"]> => ({
    async cut(forMs) {
      await network?.cut(index);
      await sleep(forMs);
      await network?.mend(index);
    },
    fill: (forMs) => fillDisk(server, forMs),
    async restore(forMs) {
      if (syncAlways) await restoreAsItWas(server, forMs);
      else lostTails.push(await restoreOlder(server, forMs));
    },
  });
  const everybody = {
    name: "cluster",
    kill: async () => void (await Promise.all(cluster.servers.map((server) => server.kill()))),
    start: async () => void (await Promise.all(cluster.servers.map((server) => server.start()))),
    freeze: async () => void (await Promise.all(cluster.servers.map((server) => server.freeze()))),
    thaw: async () => void (await Promise.all(cluster.servers.map((server) => server.thaw()))),
  };
  const powerCut = async (forMs: number) => {
    await everybody.kill();
    await sleep(forMs);
    await everybody.start();
  };
  const names = cluster.servers.map(({ name }) => name);
  const struckBy: Record<ServerFault, string[]> = {
    cut: names,
    restore: names,
    fill: names.slice(SMALL),
    "power-cut": [everybody.name],
  };
  const running = started.move();
  return {
    cluster,
    victims: [
      ...cluster.servers.map((server, index) =>
        Object.assign(server, { deeds: deedsOf(server, index) }),
      ),
      { ...everybody, deeds: { "power-cut": powerCut } },
    ],
    more: faults.map((how) => ({ how, victims: struckBy[how] })),
    lostTails,
    smallestStoreBytes: fills ? SMALL_STORE_MEGABYTES * 2 ** 20 : Number.POSITIVE_INFINITY,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function possible(fault: ServerFault, report: (line: string) => void): boolean {
  const program = PROGRAMS[fault];
  const why = program === undefined ? undefined : whyNotAsRoot(program);
  if (why !== undefined) report(`${fault} is left out: ${why}`);
  return why === undefined;
}

/** Afterwards somebody clears the disk and starts the server anew, for JetStream stays off until then. */
async function fillDisk(server: ClusterServer, forMs: number): Promise<void> {
  const filler = join(storeOf(server), "filler");
  // Ends when there is no room left.
  await run("sh", ["-c", `cat /dev/zero > ${filler}`]).catch(() => {});
  await sleep(forMs);
  await rm(filler);
  await server.kill();
  await server.start();
}

async function restoreOlder(server: ClusterServer, forMs: number): Promise<LostTail> {
  await server.freeze();
  const fromMs = Date.now();
  const copy = await copyOf(server);
  await server.thaw();
  await sleep(TAIL_MS);
  await server.kill();
  const toMs = Date.now() + HEARD_WITHIN_MS;
  await sleep(forMs);
  await putBack(server, copy);
  return { fromMs, toMs };
}

/** What a power cut leaves of a store that syncs every message before it is acknowledged: all of it. */
async function restoreAsItWas(server: ClusterServer, forMs: number): Promise<void> {
  await server.kill();
  const copy = await copyOf(server);
  await sleep(forMs);
  await putBack(server, copy);
}

async function copyOf(server: ClusterServer): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "holdfast-store-"));
  await cp(storeOf(server), copy, { recursive: true });
  return copy;
}

async function putBack(server: ClusterServer, copy: string): Promise<void> {
  const store = storeOf(server);
  // What is in it, for the folder itself may be a mount.
  for (const name of await readdir(store)) await rm(join(store, name), { recursive: true });
  await cp(copy, store, { recursive: true });
  await rm(copy, { recursive: true });
  await server.start();
}

function storeOf({ name, storeDir }: ClusterServer): string {
  if (storeDir === undefined) throw new Error(`${name} has no store on this machine`);
  return storeDir;
}
