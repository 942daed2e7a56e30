import { expect, test } from "vitest";
import { Cluster } from "./cluster.ts";
import { verdict } from "./verdict.ts";

const AWAY_MS = 180_000;
/** For an owner to be found, a digest to be compared, and what differs to be announced. */
const SETTLE_MS = 70_000;
/** A login is stored by then: nothing but the network stands between node and broker. */
const STORED_MS = 3_000;

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  "with all projectors away for 3 minutes, clients stay and logins go on (seed %i)",
  async (seed) => {
    const cluster = new Cluster(seed);
    const { world } = cluster;
    await world.runUntil(10_000);
    for (const projector of cluster.liveProjectors) projector.kill();
    const until = world.now + AWAY_MS;
    while (world.now < until) {
      cluster.act();
      await world.runUntil(world.now + world.between(100, 2_000));
      for (const { log } of cluster.liveNodes) {
        expect(log.serving, `${log.incarnation} at ${world.now}`).toBe(true);
      }
    }
    await world.runUntil(world.now + STORED_MS);
    const open = cluster.devices.flatMap(({ sessions }) => sessions.filter((one) => one.open));
    expect(open.length).toBeGreaterThan(0);
    for (const session of open) expect(session.welcomed, session.id).toBe(true);
    for (const node of cluster.nodes) {
      expect(node.isolations).toBe(0);
      expect(node.incarnations).toHaveLength(1);
    }

    cluster.startProjector("p0");
    await world.runUntil(world.now + SETTLE_MS);
    expect(verdict(cluster)).toEqual([]);
  },
);
