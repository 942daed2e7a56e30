import { partitionOf } from "../../streams/partition.ts";
import { decodeJson, type Route } from "../../streams/records.ts";
import { deviceOfUserKey, routeKey, userDevicesFilter } from "../../streams/subjects.ts";
import type { Bucket } from "../bus/contract.ts";
import type { PartitionOwners } from "./owners.ts";

/** Keeps a question and its answer well within one message. */
const MAX_ASKED = 250;
/** Users read from the bucket at a time. */
const MAX_LISTS = 16;

export interface ResolverOptions {
  owners: PartitionOwners;
  /** `hf_route` */
  routes: Bucket;
  /** `hf_user` */
  users: Bucket;
}

/**
 * Who is where, by asking the owner of the partition: its fold has the login that a caller was just
 * told of, while the bucket shows it some milliseconds later. Where an owner is away the bucket
 * speaks for it.
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

  /** The routes of devices, in the order asked; undefined for a device that is unknown. */
  async routesOf(app: string, devices: readonly string[]): Promise<(Route | undefined)[]> {
    const byPartition = new Map<number, number[]>();
    for (const [index, device] of devices.entries()) {
      const partition = partitionOf(app, device, this.#owners.partitions);
      const indexes = byPartition.get(partition);
      if (indexes === undefined) byPartition.set(partition, [index]);
      else indexes.push(index);
    }
    const found = new Array<Route | undefined>(devices.length).fill(undefined);
    const deviceAt = (index: number) => devices[index] ?? "";
    const unanswered = await Promise.all(
      Array.from(byPartition, async ([partition, indexes]) => {
        const asked = indexes.map(deviceAt);
        const texts = await this.#askInParts(asked, async (part) => {
          const query = { case: "devices" as const, value: { app, devices: part } };
          return (await this.#owners.ask(partition, query))?.routes;
        });
        for (const [i, text] of texts.entries()) {
          const index = indexes[i];
          if (index !== undefined && text !== "") found[index] = JSON.parse(text) as Route;
        }
        return indexes.slice(texts.length);
      }),
    );
    const away = unanswered.flat();
    if (away.length > 0) {
      const routes = await this.#routesInBucket(app, away.map(deviceAt));
      for (const [i, index] of away.entries()) found[index] = routes[i];
    }
    return found;
  }

  /** The routes of every known device of each user, in the order of the users. */
  async routesOfUsers(app: string, users: readonly string[]): Promise<Route[][]> {
    const found = users.map(() => new Map<string, Route>());
    // A user's devices are in any partition.
    const answered = await Promise.all(
      Array.from({ length: this.#owners.partitions }, async (_, partition) => {
        const lists = await this.#askInParts(users, async (part) => {
          const query = { case: "users" as const, value: { app, users: part } };
          return (await this.#owners.ask(partition, query))?.users;
        });
        for (const [i, { routes }] of lists.entries()) {
          for (const text of routes) {
            const route = JSON.parse(text) as Route;
            found[i]?.set(route.device, route);
          }
        }
        return lists.length;
      }),
    );
    // What every owner has told is settled; the bucket completes the rest.
    for (let start = Math.min(...answered); start < users.length; start += MAX_LISTS) {
      const part = users.slice(start, start + MAX_LISTS);
      const routes = await Promise.all(part.map((user) => this.#userInBucket(app, user)));
      for (const [i, list] of routes.entries()) {
        const known = found[start + i];
        for (const route of list) if (!known?.has(route.device)) known?.set(route.device, route);
      }
    }
    return found.map((routes) => [...routes.values()]);
  }

  /** Asks for as many at a time as is allowed. The result is as long as what was answered. */
  async #askInParts<T>(
    asked: readonly string[],
    ask: (part: string[]) => Promise<T[] | undefined>,
  ): Promise<T[]> {
    const answers: T[] = [];
    while (answers.length < asked.length) {
      const part = asked.slice(answers.length, answers.length + MAX_ASKED);
      const answer = await ask(part);
      if (answer === undefined || answer.length === 0) break;
      for (const item of answer) answers.push(item);
    }
    return answers;
  }

  async #routesInBucket(app: string, devices: readonly string[]): Promise<(Route | undefined)[]> {
    const entries = await this.#routes.getMany(
      devices.map((device) =>
        routeKey(partitionOf(app, device, this.#owners.partitions), app, device),
      ),
    );
    return entries.map((entry) => entry?.value && decodeJson<Route>(entry.value));
  }

  async #userInBucket(app: string, user: string): Promise<Route[]> {
    const devices: string[] = [];
    for await (const entry of this.#users.list(userDevicesFilter(app, user))) {
      if (entry.value !== undefined) devices.push(deviceOfUserKey(entry.key));
    }
    const routes = await this.#routesInBucket(app, devices);
    // A device that has changed hands stays listed under its former user until that expires.
    return routes.filter((route) => route !== undefined).filter((route) => route.user === user);
  }
}
