import type { Cluster } from "./cluster.ts";
import type { SimConnection } from "./connection.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import type { SimProjector } from "./projector.ts";

const AWAY_MS = 180_000;

interface Victim {
  process: SimProcess;
  connection: SimConnection;
  kill(): void;
}

/** One fault, chosen by the seed. Each ends by itself, or is ended by `healAll`. */
export function strike(cluster: Cluster): void {
  const { world } = cluster;
  const node = world.pick(cluster.liveNodes);
  const projector = world.pick(cluster.liveProjectors);
  const victim: Victim | undefined = world.chance(0.5) ? node : projector;
  const kind = world.random();
  if (victim === undefined) return;
  const { name } = victim.process;
  if (kind < 0.08) elect(cluster);
  else if (kind < 0.12 && projector !== undefined) starve(cluster, projector);
  else if (kind < 0.22) freeze(cluster, victim);
  else if (kind < 0.3) cut(cluster, victim);
  else if (kind < 0.37 && node !== undefined) loseAnswers(cluster, node);
  else if (kind < 0.45) holdWrites(cluster);
  else if (kind < 0.53) {
    const delay = world.between(500, 12_000);
    const up = world.chance(0.7);
    const down = !up || world.chance(0.3);
    const which = up && down ? "all messages" : up ? "messages from" : "messages to";
    cluster.note(`${which} ${name} are stuck for ${Math.round(delay)} ms`);
    for (const one of connectionsOf(cluster, victim.process, victim.connection)) {
      one.stall(delay, { up, down });
    }
  } else if (kind < 0.64) {
    cluster.note(`${name} is killed`);
    victim.kill();
    const slot = slotOf(victim);
    world.after(world.between(200, 4_000), () => {
      if (victim === node) cluster.startNode(slot);
      else cluster.startProjector(slot);
    });
  } else if (kind < 0.72) {
    const loss = world.between(0.05, 0.6);
    cluster.note(`${Math.round(loss * 100)} % of plain messages get lost`);
    cluster.broker.loss = loss;
    world.after(world.between(1_000, 6_000), () => {
      cluster.broker.loss = 0;
    });
  } else if (kind < 0.77) {
    restartBroker(cluster);
  } else if (kind < 0.8) {
    rejectSome(cluster);
  } else if (kind < 0.82) {
    loseOwnership(cluster);
  } else if (kind < 0.83) {
    sendProjectorsAway(cluster, AWAY_MS);
  } else if (kind < 0.86) {
    emptyBuckets(cluster);
  } else if (kind < 0.89) {
    cutLog(cluster);
  } else if (kind < 0.93) {
    if (projector === undefined || projector.process.frozen) return;
    cluster.note(`${projector.process.name} is stopped`);
    void projector.stop();
    const slot = slotOf(projector);
    world.after(world.between(0, 3_000), () => cluster.startProjector(slot));
  } else {
    // Everybody at once: the projectors, then perhaps a node beside them.
    for (const one of cluster.liveProjectors) freeze(cluster, one);
    if (node !== undefined && world.chance(0.5)) freeze(cluster, node);
  }
}

/** What no owner may even stumble over. */
export function strikeMildly(cluster: Cluster): void {
  const { world } = cluster;
  const projector = world.pick(cluster.liveProjectors);
  if (world.chance(0.6) || projector === undefined) elect(cluster);
  else starve(cluster, projector);
}

/** Ends all faults, and sees to it that there is a projector and a node. */
export function healAll(cluster: Cluster): void {
  cluster.note("all faults end");
  cluster.broker.loss = 0;
  cluster.broker.electing = false;
  cluster.broker.rejects = 0;
  if (!cluster.broker.up) cluster.broker.start();
  for (const { process, connection } of [...cluster.liveNodes, ...cluster.liveProjectors]) {
    process.thaw();
    if (cluster.broker.up) connection.restore();
  }
  for (const { heartbeat } of cluster.liveProjectors) {
    if (cluster.broker.up) heartbeat.connection.restore();
  }
  if (cluster.liveProjectors.length === 0) cluster.startProjector("p0");
}

function freeze(cluster: Cluster, { process }: Victim): void {
  if (process.frozen) return;
  const { world } = cluster;
  const duration = world.between(300, 12_000);
  cluster.note(`${process.name} is frozen for ${Math.round(duration)} ms`);
  process.freeze();
  world.after(duration, () => {
    if (process.frozen) cluster.note(`${process.name} goes on`);
    process.thaw();
  });
}

/** Nothing is stored and nothing read, but plain messages pass. */
function elect(cluster: Cluster): void {
  const { world, broker } = cluster;
  if (broker.electing) return;
  const duration = world.between(500, 9_000);
  cluster.note(`there are no leaders for ${Math.round(duration)} ms`);
  broker.electing = true;
  world.after(duration, () => {
    broker.electing = false;
  });
}

/** The main loop gets no time, but the heartbeat goes on. */
function starve(cluster: Cluster, { process }: SimProjector): void {
  if (process.frozen) return;
  const { world } = cluster;
  const duration = world.between(300, 10_000);
  cluster.note(`${process.name} is starved for ${Math.round(duration)} ms`);
  process.starve();
  world.after(duration, () => process.thaw());
}

/** The broker is killed, and has not kept the newest changes of owners. */
function loseOwnership(cluster: Cluster): void {
  if (!cluster.broker.up) return;
  const writes = Math.ceil(cluster.world.between(0, 4));
  restartBroker(cluster);
  cluster.note(`it has lost the last ${writes} writes of hf_lease`);
  cluster.broker.loseTail("hf_lease", writes);
}

/** All projectors are away for so long. */
function sendProjectorsAway(cluster: Cluster, away: number): void {
  cluster.note(`the projectors are away for ${Math.round(away)} ms`);
  const slots = cluster.liveProjectors.map((projector) => {
    projector.kill();
    return slotOf(projector);
  });
  cluster.awayUntil = cluster.world.now + away + 1_000;
  cluster.world.after(away, () => {
    for (const slot of slots) cluster.startProjector(slot);
  });
}

/** Streams turn some messages away and take those behind them, as while a leader changes or is flooded. */
function rejectSome(cluster: Cluster): void {
  const { world, broker } = cluster;
  const share = world.between(0.05, 0.7);
  const duration = world.between(200, 4_000);
  cluster.note(`${Math.round(share * 100)} % of what streams are to store is turned away`);
  broker.rejects = share;
  for (let i = 0; i < 8; i++) world.after(world.between(0, duration), () => cluster.act());
  world.after(duration, () => {
    broker.rejects = 0;
  });
}

function cut(cluster: Cluster, { process, connection }: Victim): void {
  const { world } = cluster;
  const notice = world.chance(0.5) ? 0 : world.between(0, 6_000);
  const duration = world.between(100, 12_000);
  cluster.note(`${process.name} is cut off for ${Math.round(duration)} ms`);
  for (const one of connectionsOf(cluster, process, connection)) {
    one.cut(notice);
    world.after(duration, () => {
      if (cluster.broker.up) one.restore();
    });
  }
}

/** A fault of the network hits one connection of a projector, or both. */
function connectionsOf(
  { world, liveProjectors }: Cluster,
  process: SimProcess,
  connection: SimConnection,
): SimConnection[] {
  const beside = liveProjectors.find((one) => one.process === process)?.heartbeat.connection;
  if (beside === undefined) return [connection];
  if (world.chance(0.5)) return [connection, beside];
  return world.chance(0.5) ? [connection] : [beside];
}

/**
 * What the node appends is stored, but it does not hear so and sends it again. Meanwhile its devices
 * go elsewhere.
 */
function loseAnswers(cluster: Cluster, node: SimNode): void {
  const { world } = cluster;
  const { process, connection } = node;
  const duration = world.between(200, 3_500);
  cluster.note(`${process.name} hears no answers for ${Math.round(duration)} ms, then reconnects`);
  connection.stall(duration + 100, { up: false, down: true });
  world.after(duration, () => connection.cut(0));
  world.after(duration + world.between(1, 300), () => {
    if (cluster.broker.up) connection.restore();
  });
  for (let i = 0; i < 4; i++) {
    world.after(duration * world.random(), () => {
      const device = world.pick(cluster.devices);
      if (device !== undefined) cluster.connect(device);
    });
  }
}

/** What an owner writes arrives when the partition has had another owner for a while. */
function holdWrites(cluster: Cluster): void {
  const { world } = cluster;
  const owner = world.pick(
    cluster.liveProjectors.filter(({ projector }) => projector.owned.length > 0),
  );
  if (owner === undefined) return;
  const delay = world.between(8_000, 20_000);
  cluster.note(
    `messages from the owner ${owner.process.name} are stuck for ${Math.round(delay)} ms`,
  );
  for (const one of [owner.connection, owner.heartbeat.connection]) {
    one.stall(delay, { up: true, down: false });
  }
  for (let i = 0; i < 8; i++) world.after(world.between(0, 4_000), () => cluster.act());
}

/** The projectors are away for so long that the log was cut before they read it. */
function cutLog(cluster: Cluster): void {
  const { world, broker } = cluster;
  const share = world.chance(0.3) ? 1 : world.between(0.5, 1);
  const away = world.between(500, 4_000);
  cluster.note(`the projectors are killed, and ${Math.round(share * 100)} % of the log cut off`);
  const slots = cluster.liveProjectors.map((projector) => {
    projector.kill();
    return slotOf(projector);
  });
  world.after(away, () => {
    broker.cutLog(share);
    cluster.lost.log = true;
    if (cluster.lost.checkpoint) cluster.routes.emptied();
    if (share === 1) cluster.fencing.logGone = true;
    cluster.state.damaged();
    for (const slot of slots) cluster.startProjector(slot);
  });
}

function slotOf({ process: { name } }: { process: SimProcess }): string {
  return name.slice(0, name.search(/[-_]/));
}

function restartBroker(cluster: Cluster): void {
  if (!cluster.broker.up) return;
  const { world } = cluster;
  cluster.note("the broker is killed");
  cluster.broker.stop();
  world.after(world.between(100, 5_000), () => {
    if (cluster.broker.up) return;
    cluster.note("the broker is back");
    cluster.broker.start();
  });
}

/** The contents of buckets are deleted, and the projectors restarted. */
function emptyBuckets(cluster: Cluster): void {
  const { world, broker, fencing, routes } = cluster;
  const purge = world.chance(0.5);
  const some = (
    ["hf_route", "hf_user", "hf_checkpoint", "hf_lease", "hf_snapshot"] as const
  ).filter(() => world.chance(0.5));
  cluster.note(
    `${some.join(", ")} emptied${purge ? " without a trace" : ""}, projectors restarted`,
  );
  for (const projector of cluster.liveProjectors) {
    projector.kill();
    cluster.startProjector(slotOf(projector));
  }
  for (const bucket of some) {
    broker.empty(bucket, purge);
    fencing.emptied(bucket);
    if (bucket === "hf_route") routes.emptied();
    if (bucket === "hf_route" || bucket === "hf_checkpoint") cluster.state.damaged();
    if (bucket === "hf_checkpoint") cluster.lost.checkpoint = true;
    // Then a record that is sent again looks like a new one.
    if (cluster.lost.checkpoint && cluster.lost.log) routes.emptied();
  }
}
