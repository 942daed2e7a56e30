import { fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { partitionOf } from "../../streams/partition.ts";
import { decodeJson, type Route } from "../../streams/records.ts";
import { routeKey, userKey } from "../../streams/subjects.ts";
import { type Cluster, ROOMS } from "./cluster.ts";

/** What is wrong once the dust has settled. Empty when all is well. */
export function verdict(cluster: Cluster): string[] {
  return [
    ...cluster.violations,
    ...wrongRoutes(cluster),
    ...wrongState(cluster),
    ...wrongTables(cluster),
    ...wrongDeaths(cluster),
    ...leftovers(cluster),
  ];
}

/** The buckets must say what is true: which device is connected where, in which rooms, as whom. */
function wrongRoutes(cluster: Cluster): string[] {
  const wrong: string[] = [];
  const routes = cluster.broker.bucket("hf_route");
  const users = cluster.broker.bucket("hf_user");
  for (const { name, user, sessions } of cluster.devices) {
    const key = routeKey(partitionOf("demo", name, cluster.partitions), "demo", name);
    // The next owner reads the record behind a late write, and corrects it; not if it was cut off.
    if (cluster.lost.log && cluster.fencing.lateRoutes.has(key)) continue;
    const value = routes.get(key)?.value;
    const route = value === undefined ? undefined : decodeJson<Route>(value);
    const open = sessions.filter((session) => session.open);
    const newest = open[0];
    if (open.length > 1) {
      wrong.push(`${name} has ${open.length} live connections: ${open.map(({ id }) => id)}`);
    } else if (newest === undefined) {
      if (route?.online) wrong.push(`${name} is gone, but its route says ${route.connection}`);
    } else if (route?.online !== true || route.connection !== newest.id) {
      wrong.push(`${name} is at ${newest.id}, but its route says ${describe(route)}`);
    } else {
      if (!newest.welcomed) wrong.push(`${newest.id} was never told that it is stored`);
      const rooms = [...newest.rooms].sort().join();
      if ([...route.rooms].sort().join() !== rooms) {
        wrong.push(`${name} is in [${rooms}], but its route says [${route.rooms}]`);
      }
      if (route.user !== user) wrong.push(`${name} is ${user}, but its route says ${route.user}`);
      if (user !== "" && users.get(userKey("demo", user, name))?.value === undefined) {
        wrong.push(`${name} is not among the devices of ${user}`);
      }
    }
  }
  return wrong;
}

/** Who follows the connection-state subjects ends with exactly the devices that are connected. */
function wrongState(cluster: Cluster): string[] {
  const open = cluster.devices.map(
    ({ name, sessions }) => [name, sessions.find((session) => session.open)?.id] as const,
  );
  return cluster.state.differences(new Map(open));
}

function describe(route: Route | undefined): string {
  if (route === undefined) return "nothing";
  return route.online ? route.connection : `offline (${route.reason}, ${route.connection})`;
}

/** Each partition has one owner, whose indexes agree with its routes. */
function wrongTables(cluster: Cluster): string[] {
  const wrong: string[] = [];
  const owned = cluster.liveProjectors.flatMap(({ projector }) => projector.owned);
  for (let partition = 0; partition < cluster.partitions; partition++) {
    const owners = owned.filter((one) => one.partition === partition);
    const table = owners[0]?.table;
    if (owners.length !== 1 || table === undefined) {
      wrong.push(`partition ${partition} has ${owners.length} owners`);
      continue;
    }
    const open = cluster.devices
      .flatMap(({ sessions }) => sessions)
      .filter((session) => session.open && session.partition === partition);
    for (const room of ROOMS) {
      const members = open.filter(({ rooms }) => rooms.has(room)).length;
      const count = table.rooms.count("demo", room);
      if (count !== members) wrong.push(`${room} has ${members} members, the table says ${count}`);
    }
    for (const { incarnation, sum, held, displaced } of table.nodes.values()) {
      const there = open.filter(({ node }) => node.log.incarnation === incarnation).length;
      if (held.size !== there || sum.count !== there || displaced.size > 0) {
        const counted = `${held.size} held, ${displaced.size} displaced, ${sum.count} in the sum`;
        wrong.push(`${incarnation} has ${there} connections, the table says ${counted}`);
      }
    }
  }
  for (const { projector, process } of cluster.liveProjectors) {
    if (!projector.ready) wrong.push(`${process.name} is not ready`);
  }
  return wrong;
}

/** Who died is declared dead once in each partition, and who lives is not. */
function wrongDeaths(cluster: Cluster): string[] {
  const wrong: string[] = [];
  const living = new Set(cluster.liveNodes.map(({ log }) => log.incarnation));
  for (const [partition, records] of cluster.broker.partitions.entries()) {
    const deaths = new Map<string, number>();
    const named = new Set<string>();
    for (const { data } of records) {
      const { body } = fromBinary(RecordSchema, data);
      if (body.case === "nodeDown") {
        const { incarnation } = body.value;
        deaths.set(incarnation, (deaths.get(incarnation) ?? 0) + 1);
      } else if (body.case === "events") {
        named.add(body.value.incarnation);
      }
    }
    for (const [incarnation, times] of deaths) {
      if (times > 1) wrong.push(`${incarnation} was declared dead ${times} times in ${partition}`);
      if (living.has(incarnation)) wrong.push(`${incarnation} lives, but is dead in ${partition}`);
    }
    for (const incarnation of named) {
      if (!living.has(incarnation) && !deaths.has(incarnation)) {
        wrong.push(`${incarnation} is gone, but was not declared dead in ${partition}`);
      }
    }
  }
  return wrong;
}

/** Nothing waits for ever, and no more is remembered than there is. */
function leftovers(cluster: Cluster): string[] {
  const wrong: string[] = [];
  const living = new Set(cluster.liveNodes.map(({ log }) => log.incarnation));
  for (const { process, projector, unstored } of cluster.liveProjectors) {
    if (projector.backlog > 0) wrong.push(`${process.name} has ${projector.backlog} writes left`);
    if (unstored > 0) wrong.push(`${process.name} has ${unstored} records left`);
    for (const { partition, table } of projector.owned) {
      for (const incarnation of table.nodes.keys()) {
        if (!living.has(incarnation)) wrong.push(`${partition} still knows ${incarnation}`);
      }
      if (table.devices.size > cluster.devices.length)
        wrong.push(`${partition} has too many devices`);
    }
  }
  for (const { appender, log } of cluster.liveNodes) {
    if (appender.backlog > 0) wrong.push(`${log.incarnation} has ${appender.backlog} records left`);
    if (!log.serving) wrong.push(`${log.incarnation} does not serve`);
  }
  return wrong;
}
