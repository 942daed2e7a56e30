import { LRUCache } from "lru-cache";
import type { Route } from "../../streams/records.ts";

/** Where an online device's connection is: connection ids are `<node>.<counter>`. */
export interface Location {
  /** The incarnation of the access node. */
  readonly node: string;
  readonly counter: bigint;
}

/** Undefined for a device that is not online. */
export function locationOf(route: Route): Location | undefined {
  if (!route.online) return undefined;
  const counter = route.connection.slice(route.connection.lastIndexOf(".") + 1);
  return { node: route.node, counter: BigInt(counter) };
}

/** About 250 bytes each. */
const MAX_ENTRIES = 100_000;
/** A wrong entry costs one round trip more, so this only keeps out what nobody asks for any longer. */
const TTL_MS = 60_000;

/** Locations of devices that were online when last looked up. */
export class RouteCache {
  readonly #entries = new LRUCache<string, Location>({ max: MAX_ENTRIES, ttl: TTL_MS });

  get(app: string, device: string): Location | undefined {
    return this.#entries.get(key(app, device));
  }

  set(app: string, device: string, location: Location): void {
    this.#entries.set(key(app, device), location);
  }

  delete(app: string, device: string): void {
    this.#entries.delete(key(app, device));
  }
}

/** Ids hold no line breaks. */
function key(app: string, device: string): string {
  return `${app}\n${device}`;
}
