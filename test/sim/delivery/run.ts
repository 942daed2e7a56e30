import { DeliveryCluster, NO_FAULTS } from "./cluster.ts";

/** Long enough for a takeover, a node declared dead, and the slowest retry. */
const SETTLE_MS = 120_000;
/** Long enough for everything that was sent and has not come yet. */
const LATE_MS = 310_000;

export interface Run {
  wrong: string[];
  cluster: DeliveryCluster;
}

/** One run: some time of life and faults, then quiet, then a look at what arrived. */
export async function simulate(seed: number): Promise<Run> {
  const cluster = new DeliveryCluster(seed);
  const { world } = cluster;
  const until = world.between(5_000, 90_000);
  live(cluster, until);
  suffer(cluster, until);
  await world.runUntil(until);
  calm(cluster, until);
  await world.runUntil(until + SETTLE_MS);
  const wrong = verdict(cluster);
  // Whoever takes over now must find nothing to deliver, and delete what former owners left.
  await world.runUntil(world.now + LATE_MS);
  cluster.crashOwner();
  await world.runUntil(world.now + SETTLE_MS);
  for (const { name } of cluster.devices) {
    for (const { messageId } of cluster.mailbox.of(name)) {
      wrong.push(`${messageId} is left in the mailbox`);
    }
  }
  return { wrong: [...wrong, ...verdict(cluster)], cluster };
}

function live(cluster: DeliveryCluster, until: number): void {
  const { world } = cluster;
  const pause = world.between(20, 1_500);
  const act = () => {
    if (world.now >= until) return;
    for (let burst = world.chance(0.1) ? 20 : 1; burst > 0; burst--) cluster.push();
    world.after(pause * world.between(0, 2), act);
  };
  const stay = world.between(300, 30_000);
  const move = () => {
    if (world.now >= until) return;
    const device = world.pick(cluster.devices);
    if (device !== undefined) {
      device.manner = world.pick(["prompt", "prompt", "slow", "deaf"] as const) ?? "prompt";
      if (device.connection === undefined) device.connect();
      // A second connection may come before the first has ended.
      else if (world.chance(0.2)) device.connect();
      else if (world.chance(0.1)) device.lie();
      else device.disconnect();
    }
    world.after(stay * world.between(0, 2), move);
  };
  for (const device of cluster.devices) if (world.chance(0.7)) device.connect();
  act();
  move();
}

function suffer(cluster: DeliveryCluster, until: number): void {
  const { world } = cluster;
  const pause = world.between(200, 15_000);
  const strike = () => {
    if (world.now >= until) return;
    const kind = world.between(0, 6);
    if (kind < 1) cluster.crashOwner();
    else if (kind < 1.5) cluster.freezeOwner(world.pick([6_000, 20_000, 300_000]) ?? 0);
    else if (kind < 2) cluster.cutOwner(world.pick([500, 15_000, 40_000]) ?? 0);
    else if (kind < 3) cluster.crashNode();
    else if (kind < 3.3) cluster.loseTail();
    else if (kind < 3.8) cluster.log.downUntil = world.now + world.between(100, 6_000);
    else {
      const loss = world.chance(0.5) ? world.between(0, 0.6) : 0;
      const slowness = world.between(0, 4_000);
      const mailFaults = world.chance(0.3) ? world.between(0, 0.8) : 0;
      const mailSlowness = world.chance(0.5) ? world.between(0, 5_000) : 0;
      cluster.misbehave({ loss, slowness, mailFaults, mailSlowness });
    }
    world.after(pause * world.between(0, 2), strike);
  };
  strike();
}

/** Everything works from now on, and everybody comes back. */
function calm(cluster: DeliveryCluster, until: number): void {
  const { world } = cluster;
  cluster.misbehave(NO_FAULTS);
  const comeBack = () => {
    for (const device of cluster.devices) {
      device.manner = "prompt";
      if (device.connection === undefined) device.connect();
    }
    if (world.now < until + 20_000) world.after(500, comeBack);
  };
  comeBack();
  // Nobody sits on a connection that was displaced while no owner was there to have it closed.
  world.after(10_000, () => {
    for (const device of cluster.devices) {
      device.disconnect();
      device.connect();
    }
  });
}

function verdict({
  devices,
  accepted,
  owner,
  violations,
  receipts,
  nowMs,
  lost,
}: DeliveryCluster): string[] {
  const wrong = [...violations];
  const handled = new Map(
    devices.map(({ name, handled }) => [name, new Set(handled.map((one) => one.messageId))]),
  );
  const saidDelivered = new Set(
    receipts
      .filter(({ steps }) => steps.some(({ step }) => step === "acked"))
      .map((r) => r.messageId),
  );
  for (const { device, messageId, sequence, expiresAtMs } of accepted.values()) {
    if (handled.get(device)?.has(messageId) || lost.has(messageId)) continue;
    if (expiresAtMs > nowMs) wrong.push(`${messageId} (${sequence}) for ${device} was lost`);
    if (saidDelivered.has(messageId))
      wrong.push(`${messageId} is said to be delivered, and is not`);
  }
  for (const { name, handled: all } of devices) {
    for (const [index, { sequence, messageId }] of all.entries()) {
      if (lost.has(messageId)) continue;
      if (all.findIndex((other) => other.messageId === messageId) !== index) {
        wrong.push(`${name} was given ${messageId} twice`);
      }
      const before = all[index - 1];
      if (before === undefined) continue;
      if (sequence <= before.sequence || numberOf(messageId) <= numberOf(before.messageId)) {
        wrong.push(`${name} was given ${messageId} out of order`);
      }
    }
  }
  if (owner === undefined) wrong.push("nobody owns the partition");
  else if (!owner.settled) wrong.push(`the owner still holds on to ${owner.devices} devices`);
  return wrong;
}

/** The order in which they were pushed. */
function numberOf(messageId: string): number {
  return Number(messageId.slice(1));
}
