import { Cluster } from "./cluster.ts";
import { healAll, strike, strikeMildly } from "./faults.ts";
import { verdict } from "./verdict.ts";

/** Long enough to find an owner, declare the dead, and compare every digest once more. */
const SETTLE_MS = 70_000;

/** What is still under way by then is given more time, 50 ms after 50 ms. */
const WAIT_MS = 50;
const MOST_WAITS = 12_000;

export interface Run {
  seed: number;
  wrong: string[];
  history: string[];
  cluster: Cluster;
}

const MILD_EVERY = 5;
/** By then every partition has found its owner. */
const CALM_MS = 15_000;

/**
 * One run: some time of life and faults, then quiet, then a look at what is left. Every few seeds there are
 * only faults that must not even be noticed by who owns what.
 */
export async function simulate(seed: number): Promise<Run> {
  const cluster = new Cluster(seed);
  const { world } = cluster;
  const mild = seed % MILD_EVERY === 0;
  const chaosUntil = (mild ? CALM_MS : 0) + world.between(8_000, 25_000);
  const busy = world.between(50, 600);
  const violence = world.between(800, 5_000);
  const live = () => {
    if (world.now >= Math.max(chaosUntil, cluster.awayUntil)) return;
    cluster.act();
    cluster.ask();
    world.after(busy * world.between(0.2, 1.8), live);
  };
  const suffer = () => {
    if (world.now >= chaosUntil) return;
    if (mild) strikeMildly(cluster);
    else strike(cluster);
    world.after(violence * world.between(0.3, 1.7), suffer);
  };
  world.after(1_000, live);
  world.after(mild ? CALM_MS : world.between(1_000, 8_000), suffer);
  await world.runUntil(mild ? CALM_MS : 0);
  const before = ownership(cluster);
  await world.runUntil(chaosUntil);
  await world.runUntil(Math.max(chaosUntil, cluster.awayUntil));
  healAll(cluster);
  await world.runUntil(world.now + SETTLE_MS);
  if (mild && ownership(cluster) !== before) {
    cluster.violate(`owners were ${before}, and are ${ownership(cluster)}`);
  }
  const { asker } = cluster;
  const asked = { ...asker };
  for (const device of cluster.devices) cluster.ask(device);
  await world.runUntil(world.now + 3_000);
  if (asker.answered - asked.answered !== cluster.devices.length) {
    cluster.violate(`${asker.refused - asked.refused} questions are refused, though all is well`);
  }
  // A digest may be under way at just this moment. After minutes without projectors, a slow connection has
  // much to tell, one event of a device after the other.
  for (let i = 0; i < MOST_WAITS && isBusy(cluster); i++) await world.runUntil(world.now + WAIT_MS);
  return { seed, wrong: verdict(cluster), history: cluster.history, cluster };
}

/** Who owned and loaded what how often. */
function ownership({ liveProjectors }: Cluster): string {
  return JSON.stringify(liveProjectors.map(({ projector }) => projector.ownership));
}

function isBusy({ liveNodes, liveProjectors }: Cluster): boolean {
  return (
    liveNodes.some(({ appender }) => appender.backlog > 0) ||
    liveProjectors.some(({ unstored, projector }) => unstored + projector.backlog > 0)
  );
}
