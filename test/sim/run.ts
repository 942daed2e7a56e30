import { Cluster } from "./cluster.ts";
import { healAll, strike, strikeMildly } from "./faults.ts";
import { verdict } from "./verdict.ts";

/** Long enough to find an owner, declare the dead, and compare every digest once more. */
const SETTLE_MS = 70_000;

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
  // A digest may be under way at just this moment. And what a device did in minutes without an owner is
  // told one after the other: over a slow link that takes its time.
  const settled = async () => {
    for (let i = 0; i < 6_000 && isBusy(cluster); i++) await world.runUntil(world.now + 50);
  };
  await settled();
  const { asker } = cluster;
  const asked = { ...asker };
  for (const device of cluster.devices) cluster.ask(device);
  await world.runUntil(world.now + 3_000);
  if (asker.answered - asked.answered !== cluster.devices.length) {
    cluster.violate(`${asker.refused - asked.refused} questions are refused, though all is well`);
  }
  await settled();
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
