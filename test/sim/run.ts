import { Cluster } from "./cluster.ts";
import { healAll, strike } from "./faults.ts";
import { verdict } from "./verdict.ts";

/** Long enough to find an owner, declare the dead, and compare every digest once more. */
const SETTLE_MS = 70_000;

export interface Run {
  seed: number;
  wrong: string[];
  history: string[];
  cluster: Cluster;
}

/** One run: some time of life and faults, then quiet, then a look at what is left. */
export async function simulate(seed: number): Promise<Run> {
  const cluster = new Cluster(seed);
  const { world } = cluster;
  const chaosUntil = world.between(8_000, 25_000);
  const busy = world.between(50, 600);
  const violence = world.between(800, 5_000);
  const live = () => {
    if (world.now >= chaosUntil) return;
    cluster.act();
    cluster.ask();
    world.after(busy * world.between(0.2, 1.8), live);
  };
  const suffer = () => {
    if (world.now >= chaosUntil) return;
    strike(cluster);
    world.after(violence * world.between(0.3, 1.7), suffer);
  };
  world.after(1_000, live);
  world.after(world.between(1_000, 8_000), suffer);
  await world.runUntil(chaosUntil);
  healAll(cluster);
  await world.runUntil(chaosUntil + SETTLE_MS);
  const { asker } = cluster;
  const before = { ...asker };
  for (const device of cluster.devices) cluster.ask(device);
  await world.runUntil(world.now + 3_000);
  if (asker.answered - before.answered !== cluster.devices.length) {
    cluster.violate(`${asker.refused - before.refused} questions are refused, though all is well`);
  }
  // A digest may be under way at just this moment.
  for (let i = 0; i < 20 && isBusy(cluster); i++) await world.runUntil(world.now + 50);
  return { seed, wrong: verdict(cluster), history: cluster.history, cluster };
}

function isBusy({ liveNodes, liveProjectors }: Cluster): boolean {
  return (
    liveNodes.some(({ appender }) => appender.backlog > 0) ||
    liveProjectors.some(({ appender, projector }) => appender.backlog + projector.backlog > 0)
  );
}
