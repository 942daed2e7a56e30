import { partitionOf } from "../../streams/partition.ts";
import { decodeJson, type Route } from "../../streams/records.ts";
import { parseUserKey, routeKey, userDevicesFilter } from "../../streams/subjects.ts";
import type { Bucket } from "../bus/contract.ts";
import type { PartitionOwners, Query, Silence } from "./owners.ts";
import { type Location, locationOf } from "./route-cache.ts";

/** Keeps a question well within one message: ids have up to 128 bytes. */
const MAX_ASKED = 2_000;
/** Users looked up in the bucket with one question, and questions at once. */
const USERS_AT_ONCE = 100;
const LISTS_AT_ONCE = 4;
/** Routes of which the bucket's leader is asked at once. */
const LEADER_READS = 64;

/** Where a push finds a device. `uncertain`: who would know is away, and the bucket does not have it online. */
export type Place = Location | "offline" | "unknown" | "uncertain";

/** Where a push finds a user. */
export interface UserPlace {
  /** By device. */
  online: Map<string, Location>;
  /** What is to be said when nobody got it. */
  otherwise: "offline" | "unknown" | "uncertain";
}

export interface ResolverOptions {
  owners: PartitionOwners;
  /** `hf_route` */
  routes: Bucket;
  /** `hf_user` */
  users: Bucket;
}

/** What the owners say: those that are online or were not long ago. Of all others the buckets know. */
interface Present {
  routes: Map<string, Route>;
  silent: ReadonlyMap<number, Silence>;
}

/**
 * Who is where, by asking the owner of the partition: its fold has the login that a caller was just
 * told of, and knows exactly who is online.
 */
export class Resolver {
  readonly #owners: PartitionOwners;
  readonly #routes: Bucket;
  readonly #users: Bucket;

  constructor(options: ResolverOptions) {
    this.#owners = options.owners;
    this.#routes = options.routes;
    this.#users = options.users;
  }

  /**
   * The routes of devices, in the order asked; undefined for a device that is unknown.
   * @throws HoldfastError `unavailable` where the owner cannot tell: the bucket may be behind.
   */
  async routesOf(app: string, devices: readonly string[]): Promise<(Route | undefined)[]> {
    const { routes } = await this.#present(app, "devices", devices, true);
    const past = await this.#past(app, without(devices, routes), true);
    return devices.map((device) => routes.get(device) ?? offline(past.get(device)));
  }

  /**
   * The same for pushes, which need not be exact: whoever is found online is looked for there, and where
   * he is not, the node says so. Where nobody owns the partition the bucket speaks for it.
   */
  async locate(app: string, devices: readonly string[]): Promise<Place[]> {
    const { routes, silent } = await this.#present(app, "devices", devices, false);
    const past = await this.#past(app, without(devices, routes), false);
    return devices.map((device) => {
      const route = routes.get(device);
      if (route !== undefined) return locationOf(route) ?? "offline";
      const why = silent.get(partitionOf(app, device, this.#owners.partitions));
      const before = past.get(device);
      const location = why && before && locationOf(before);
      if (location !== undefined) return location;
      if (why === "silent") return "uncertain";
      return before === undefined ? "unknown" : "offline";
    });
  }

  /**
   * The routes of every known device of each user, in the order of the users.
   * @throws HoldfastError `unavailable` as `routesOf`.
   */
  async routesOfUsers(app: string, users: readonly string[]): Promise<Route[][]> {
    const [{ routes }, listed] = await Promise.all([
      this.#present(app, "users", users, true),
      this.#listed(app, users),
    ]);
    const found = new Map(users.map((user) => [user, new Map<string, Route>()]));
    for (const route of routes.values()) found.get(route.user)?.set(route.device, route);
    const others = without(new Set([...listed.values()].flat()), routes);
    for (const route of await this.routesOf(app, others)) {
      // A device that has changed hands stays listed under its former user until that expires.
      if (route !== undefined) found.get(route.user)?.set(route.device, route);
    }
    return users.map((user) => [...(found.get(user)?.values() ?? [])]);
  }

  /** The devices of users that pushes go to. Where nobody owns a partition the buckets speak for it. */
  async locateUsers(app: string, users: readonly string[]): Promise<UserPlace[]> {
    const { routes, silent } = await this.#present(app, "users", users, false);
    const places = new Map<string, UserPlace>();
    const placeOf = (user: string) => {
      let place = places.get(user);
      if (place === undefined) {
        place = { online: new Map(), otherwise: "offline" };
        places.set(user, place);
      }
      return place.online;
    };
    const note = (route: Route) => {
      const location = locationOf(route);
      const online = placeOf(route.user);
      if (location !== undefined) online.set(route.device, location);
    };
    for (const route of routes.values()) note(route);
    const inDoubt = silent.size > 0;
    const asked = inDoubt ? users : users.filter((user) => !places.has(user));
    const listed = await this.#listed(app, asked);
    if (inDoubt) {
      const devices = new Set([...listed.values()].flat());
      for (const route of (await this.#past(app, without(devices, routes), false)).values()) {
        // A device that has changed hands stays listed under its former user until that expires.
        if (silent.has(partitionOf(app, route.device, this.#owners.partitions))) note(route);
        else placeOf(route.user);
      }
    } else {
      for (const user of listed.keys()) placeOf(user);
    }
    const uncertain = [...silent.values()].includes("silent");
    return users.map((user) => {
      const place = places.get(user) ?? { online: new Map(), otherwise: "unknown" };
      return uncertain ? { ...place, otherwise: "uncertain" } : place;
    });
  }

  /** Asks the owners. `exactly`: rejects when one of them is silent. */
  async #present(
    app: string,
    kind: "devices" | "users",
    ids: readonly string[],
    exactly: boolean,
  ): Promise<Present> {
    const routes = new Map<string, Route>();
    const silent = new Map<number, Silence>();
    const ask = async (part: string[]) => {
      const { query, partitions } = this.#question(app, kind, part);
      const told = exactly
        ? { answers: await this.#owners.askExactly(query, partitions), silent: [] }
        : await this.#owners.ask(query, partitions);
      for (const text of told.answers.flatMap((answer) => answer.routes)) {
        const route = JSON.parse(text) as Route;
        routes.set(route.device, route);
      }
      for (const [partition, why] of told.silent) silent.set(partition, why);
    };
    await Promise.all(parts(ids, MAX_ASKED).map(ask));
    return { routes, silent };
  }

  #question(
    app: string,
    kind: "devices" | "users",
    ids: string[],
  ): { query: Query; partitions: Iterable<number> } {
    const { partitions, all } = this.#owners;
    // A user's devices are in any partition.
    return kind === "users"
      ? { query: { case: "users", value: { app, users: ids } }, partitions: all }
      : {
          query: { case: "devices", value: { app, devices: ids } },
          partitions: new Set(ids.map((device) => partitionOf(app, device, partitions))),
        };
  }

  /**
   * What the bucket says, by device. `surely`: a copy of it that lags behind is not believed that there
   * is nothing.
   */
  async #past(app: string, devices: string[], surely: boolean): Promise<Map<string, Route>> {
    const keyOf = (device: string) =>
      routeKey(partitionOf(app, device, this.#owners.partitions), app, device);
    const found = new Map<string, Route>();
    if (devices.length === 0) return found;
    const note = (device: string, value: Uint8Array | undefined) => {
      if (value !== undefined) found.set(device, decodeJson<Route>(value));
    };
    const entries = await this.#routes.getMany(devices.map(keyOf));
    for (const [i, device] of devices.entries()) note(device, entries[i]?.value);
    if (!surely) return found;
    await inParallel(LEADER_READS, without(devices, found), async (device) => {
      note(device, (await this.#routes.latest(keyOf(device)))?.value);
    });
    return found;
  }

  /** The devices that are listed under each user. */
  async #listed(app: string, users: readonly string[]): Promise<Map<string, string[]>> {
    const listed = new Map<string, string[]>();
    const filters = users.map((user) => userDevicesFilter(app, user));
    await inParallel(LISTS_AT_ONCE, parts(filters, USERS_AT_ONCE), async (part) => {
      for await (const { key, value } of this.#users.list(part)) {
        if (value === undefined) continue;
        const { user, device } = parseUserKey(key);
        const devices = listed.get(user);
        if (devices === undefined) listed.set(user, [device]);
        else devices.push(device);
      }
    });
    return listed;
  }
}

/** The owner does not have it online: if the bucket does, it is of records that the log has lost. */
function offline(route: Route | undefined): Route | undefined {
  return route?.online === true ? { ...route, online: false, rooms: [] } : route;
}

function without(ids: Iterable<string>, known: ReadonlyMap<string, unknown>): string[] {
  return Array.from(ids).filter((id) => !known.has(id));
}

function parts<T>(list: readonly T[], size: number): T[][] {
  const all: T[][] = [];
  for (let i = 0; i < list.length; i += size) all.push(list.slice(i, i + size));
  return all;
}

/** Does so with each item, `most` of them at once. */
async function inParallel<T>(
  most: number,
  items: readonly T[],
  act: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const work = async () => {
    for (const item of left) await act(item);
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, work));
}
