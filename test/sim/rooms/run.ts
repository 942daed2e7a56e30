import { ROOMS, RoomsCluster } from "./cluster.ts";

/** Long enough for every retry, and for a stream that was made anew to be noticed. */
const SETTLE_MS = 40_000;

/** One run: some time of life and faults, then quiet, then a look at what everybody has. */
export async function simulate(
  seed: number,
  options: { blind?: boolean } = {},
): Promise<RoomsCluster> {
  const cluster = new RoomsCluster(seed, options);
  const { world } = cluster;
  for (let i = Math.ceil(world.between(0, 3)); i > 0; i--) await cluster.startNode();
  const until = world.between(5_000, 60_000);
  live(cluster, until);
  suffer(cluster, until);
  await world.runUntil(until);
  calm(cluster, until);
  await world.runUntil(until + SETTLE_MS);
  cluster.publishEverywhere();
  await world.runUntil(world.now + SETTLE_MS);
  for (const client of cluster.clients) client.check();
  return cluster;
}

function live(cluster: RoomsCluster, until: number): void {
  const { world, clients } = cluster;
  const pause = world.between(2, 300);
  const send = () => {
    if (world.now >= until) return;
    for (let burst = world.chance(0.05) ? world.between(2, 60) : 1; burst > 0; burst--) {
      cluster.publish();
    }
    world.after(pause * world.between(0, 2), send);
  };
  const stay = world.between(100, 8_000);
  const move = () => {
    if (world.now >= until) return;
    const client = world.pick(clients);
    const room = world.pick(ROOMS);
    if (client !== undefined && room !== undefined) {
      if (client.session === undefined) client.connect();
      else if (world.chance(0.5)) client.session.cut();
      else if (client.wanted.has(room)) client.leave(room);
      else client.join(room);
    }
    world.after((stay / clients.length) * world.between(0, 2), move);
  };
  for (const client of clients) {
    for (const room of ROOMS) if (world.chance(0.6)) client.join(room);
    client.connect();
  }
  send();
  move();
}

function suffer(cluster: RoomsCluster, until: number): void {
  const { world, stream } = cluster;
  const pause = world.between(100, 8_000);
  const strike = () => {
    if (world.now >= until) return;
    const kind = world.between(0, 10);
    const node = world.pick(cluster.nodes);
    if (node !== undefined) {
      if (kind < 3) node.breakLink(world.between(1, 6_000));
      else if (kind < 4) {
        node.kill();
        cluster.nodes = cluster.nodes.filter((other) => other !== node);
        world.after(world.between(10, 2_000), () => {
          void cluster.startNode();
          world.settles();
        });
      } else if (kind < 4.3) stream.remake();
      else if (kind < 7) node.faults.drops = world.chance(0.5) ? world.between(0, 0.3) : 0;
      else {
        node.history.faults = {
          loss: world.chance(0.3) ? world.between(0, 0.5) : 0,
          slownessMs: world.chance(0.5) ? world.between(0, 2_000) : 0,
          lag: world.chance(0.3) ? world.between(0, 10) : 0,
        };
      }
    }
    world.after(pause * world.between(0, 2), strike);
  };
  strike();
}

/** Everything works from now on, and everybody comes back. */
function calm(cluster: RoomsCluster, until: number): void {
  const { world } = cluster;
  const comeBack = () => {
    for (const node of cluster.nodes) {
      node.faults.drops = 0;
      node.history.faults = { loss: 0, slownessMs: 0, lag: 0 };
    }
    for (const client of cluster.clients) {
      if (client.session === undefined) client.connect();
      else client.session.pace = 1;
    }
    if (world.now < until + SETTLE_MS) world.after(500, comeBack);
  };
  comeBack();
}
