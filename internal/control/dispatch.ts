/** Which access points a client is offered, and when it is to come. */
import type { CanaryRule, Dispatching, Labels } from "../../streams/records.ts";
import type { Clock, Random } from "../clock/clock.ts";
import { SlotClock } from "../clock/slot-clock.ts";
import {
  type Address,
  addressesOf,
  hasLabels,
  hasRoom,
  labelsOf,
  placeOf,
  takesConnections,
} from "../nodes/address.ts";
import { type Offer, Pool, Ring } from "../nodes/pool.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { type CanaryClient, fits } from "./canary.ts";

export interface DispatchClient extends CanaryClient {
  /** What it can speak; empty: what its platform can. */
  readonly protocols: readonly string[];
  readonly dispatch: Dispatching;
}

export interface Dispatched {
  /** Best first. Empty: no node that takes clients speaks what this one can. */
  readonly offers: readonly Offer[];
  /** When to connect, from now. 0: at once. */
  readonly afterMs: number;
}

export interface DispatchOptions {
  nodes: NodeRegistry;
  canaries: { list(): readonly CanaryRule[] };
  clock: Clock;
  random: Random;
}

/** How many of a protocol are offered: enough to survive some failures, few enough for a phone. */
const OFFERED = 4;
/** In the order in which they are offered. */
const PROTOCOLS = ["websocket", "tcp"];
/** Loads change with each beat, and matter less than who is there at all. */
const REFRESH_MS = 250;
/** Changes that do matter are taken in at once, but not each one of a thousand nodes. */
const REFRESH_AFTER_CHANGE_MS = 20;
const FEW_NODES = 50;
/** Groups that are kept prepared. Clients choose their labels, but only what nodes have counts. */
const MOST_GROUPS = 256;

/**
 * Where new clients are sent, and when. While some address of those meant for a client has room, there and
 * at once; else to any other with room; while none has, each client is given a turn of its own, as fast as
 * the nodes together say that they can take them.
 *
 * What costs more with more nodes is prepared a few times a second, and not for each client.
 */
export class Dispatch {
  readonly #options: DispatchOptions;
  readonly #slots = new SlotClock();
  readonly #rings = new Map<string, Ring>();
  #view: View;

  constructor(options: DispatchOptions) {
    this.#options = options;
    this.#view = this.#newView();
  }

  choose(client: DispatchClient): Dispatched {
    const found = this.#choose(this.#present(), client);
    if (found.offers.length > 0) return found;
    // What was prepared may be older than what is heard.
    this.#view = this.#newView();
    return this.#choose(this.#view, client);
  }

  /** The live nodes that have these labels, by their incarnations. */
  nodesWith(labels: Labels): string[] {
    return this.#options.nodes
      .list()
      .filter((beat) => hasLabels(beat.labels, labels))
      .map(({ incarnation }) => incarnation);
  }

  #present(): View {
    const { nodes, canaries, clock } = this.#options;
    const view = this.#view;
    const age = clock.monotonic() - view.madeAt;
    const changed = view.changes !== nodes.changes || view.rules !== canaries.list();
    const soon = view.nodes < FEW_NODES || age >= REFRESH_AFTER_CHANGE_MS;
    if (age >= REFRESH_MS || (changed && soon)) this.#view = this.#newView();
    return this.#view;
  }

  #newView(): View {
    const { nodes, canaries, clock } = this.#options;
    return new View(nodes, canaries.list(), clock.monotonic(), this.#rings);
  }

  #choose(view: View, client: DispatchClient): Dispatched {
    const protocols = spoken(client);
    const groups = view.groupsFor(client);
    for (const group of groups) {
      const offers = this.#offers(group, client, protocols, hasRoom);
      if (offers.length > 0) return { offers, afterMs: 0 };
    }
    for (const group of groups) {
      const offers = this.#offers(group, client, protocols, () => true);
      if (offers.length > 0) return { offers, afterMs: this.#turn(group) };
    }
    return { offers: [], afterMs: 0 };
  }

  #offers(
    group: Group,
    { device, dispatch }: DispatchClient,
    protocols: readonly string[],
    roomy: (address: Address) => boolean,
  ): Offer[] {
    const { nodes, clock, random } = this.#options;
    const now = clock.monotonic();
    // Of an address of several nodes one is enough.
    const may = (address: Address) =>
      roomy(address) &&
      address.nodes.some((node) => takesConnections(node) && nodes.isLive(node, now));
    return protocols.flatMap((protocol) => {
      const pool = group.pool(protocol);
      if (pool === undefined) return [];
      if (dispatch === "load") return pool.draw(OFFERED, may, random);
      return group.pinned(protocol, device, OFFERED, may);
    });
  }

  #turn(group: Group): number {
    const { clock, random } = this.#options;
    const perSecond = Math.max(1, group.loginsPerSecond);
    const ahead = (group.soonestMs * perSecond) / 1_000;
    return this.#slots.take(clock.monotonic(), { perSecond, ahead, random });
  }
}

function spoken({ protocols, platform }: DispatchClient): readonly string[] {
  if (protocols.length > 0) return PROTOCOLS.filter((protocol) => protocols.includes(protocol));
  // Web pages have nothing else.
  return platform === "web" ? ["websocket"] : PROTOCOLS;
}

/** The nodes that take clients, as they were a moment ago. */
class View {
  readonly madeAt: number;
  readonly changes: number;
  readonly rules: readonly CanaryRule[];
  readonly nodes: number;
  readonly #addresses: readonly Address[];
  /** The labels that nodes have, with their values. */
  readonly #labels = new Map<string, Set<string>>();
  readonly #groups = new Map<string, Group>();
  readonly #rings: Map<string, Ring>;

  constructor(
    registry: NodeRegistry,
    rules: readonly CanaryRule[],
    now: number,
    rings: Map<string, Ring>,
  ) {
    this.madeAt = now;
    this.changes = registry.changes;
    this.rules = rules;
    this.#rings = rings;
    const nodes = [...registry.heard].filter(
      (node) => registry.isLive(node, now) && takesConnections(node),
    );
    this.nodes = nodes.length;
    this.#addresses = addressesOf(nodes);
    for (const address of this.#addresses) {
      for (const [name, value] of Object.entries(labelsOf(address))) {
        const values = this.#labels.get(name);
        if (values === undefined) this.#labels.set(name, new Set([value]));
        else values.add(value);
      }
    }
  }

  /** Those meant for the client, and behind them those that will do. None is empty. */
  groupsFor(client: DispatchClient): Group[] {
    const asked = this.#known(client.labels);
    const rule = this.rules.find((one) => fits(one, client));
    const wanted: [Labels | undefined, Labels][] = [];
    if (rule !== undefined) wanted.push([rule.nodes, asked], [rule.nodes, NONE]);
    wanted.push([undefined, asked], [undefined, NONE]);
    const groups = new Set<Group>();
    for (const [nodes, labels] of wanted) {
      const group = this.#group(nodes, labels);
      if (group.addresses.length > 0) groups.add(group);
    }
    // Better a canary than nowhere.
    if (groups.size === 0 && this.#addresses.length > 0) groups.add(this.#everything());
    return [...groups];
  }

  /** Of the labels asked for those that some node has. */
  #known(labels: Labels): Labels {
    let known: Record<string, string> | undefined;
    for (const name in labels) {
      const value = labels[name] as string;
      if (!this.#labels.get(name)?.has(value)) continue;
      known ??= {};
      known[name] = value;
    }
    return known ?? NONE;
  }

  /** `canary`: the labels of a canary's nodes; undefined: the nodes of no canary, but of one asked for by its labels. */
  #group(canary: Labels | undefined, asked: Labels): Group {
    const key = canary === undefined && asked === NONE ? "" : keyOf(canary, asked);
    const kept = this.#groups.get(key);
    if (kept !== undefined) return kept;
    const others = this.rules.filter((rule) => !hasLabels(asked, rule.nodes));
    const isMeant = (labels: Labels) =>
      canary === undefined
        ? !others.some((rule) => hasLabels(labels, rule.nodes))
        : hasLabels(labels, canary);
    const addresses = this.#addresses.filter((address) => {
      const labels = labelsOf(address);
      return isMeant(labels) && hasLabels(labels, asked);
    });
    return this.#keep(key, addresses);
  }

  #everything(): Group {
    return this.#groups.get("*") ?? this.#keep("*", this.#addresses);
  }

  #keep(key: string, addresses: readonly Address[]): Group {
    const group = new Group(key, addresses, this.#rings);
    if (this.#groups.size < MOST_GROUPS) this.#groups.set(key, group);
    return group;
  }
}

const NONE: Labels = {};

function keyOf(canary: Labels | undefined, asked: Labels): string {
  const sorted = (labels: Labels) => Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([canary && sorted(canary), sorted(asked)]);
}

/** Addresses that are chosen from together. */
class Group {
  readonly addresses: readonly Address[];
  readonly #key: string;
  readonly #rings: Map<string, Ring>;
  readonly #pools = new Map<string, Pool>();
  readonly #byPlace = new Map<string, Map<string, Address>>();
  #ring: Ring | undefined;
  #perSecond: number | undefined;

  constructor(key: string, addresses: readonly Address[], rings: Map<string, Ring>) {
    this.addresses = addresses;
    this.#key = key;
    this.#rings = rings;
    for (const protocol of PROTOCOLS) {
      const own = addresses.filter((address) => address.protocol === protocol);
      // Those with room, as long as there are any: then no draw is in vain.
      const roomy = own.filter(hasRoom);
      if (own.length > 0) this.#pools.set(protocol, new Pool(roomy.length > 0 ? roomy : own));
    }
  }

  pool(protocol: string): Pool | undefined {
    return this.#pools.get(protocol);
  }

  /** By the device alone, as far as the addresses may be offered. */
  pinned(
    protocol: string,
    device: string,
    most: number,
    may: (address: Address) => boolean,
  ): Offer[] {
    const byPlace = this.#placesOf(protocol);
    this.#ring ??= this.#makeRing();
    const places = this.#ring.placesFor(device, most, (place) => {
      const address = byPlace.get(place);
      return address !== undefined && may(address);
    });
    return places.map((place, index) => ({
      address: byPlace.get(place) as Address,
      // Clients choose by weight; the others are for when the first fails.
      weight: index === 0 ? 100 : 0,
    }));
  }

  get loginsPerSecond(): number {
    this.#perSecond ??= this.#nodes().reduce((sum, { beat }) => sum + beat.loginsPerSecond, 0);
    return this.#perSecond;
  }

  get soonestMs(): number {
    let soonest = Number.POSITIVE_INFINITY;
    for (const { beat } of this.#nodes()) soonest = Math.min(soonest, beat.retryAfterMs);
    return Number.isFinite(soonest) ? soonest : 0;
  }

  #nodes() {
    return [...new Set(this.addresses.flatMap(({ nodes }) => nodes))];
  }

  #placesOf(protocol: string): Map<string, Address> {
    let byPlace = this.#byPlace.get(protocol);
    if (byPlace === undefined) {
      const own = this.addresses.filter((address) => address.protocol === protocol);
      byPlace = new Map(own.map((address) => [placeOf(address), address]));
      this.#byPlace.set(protocol, byPlace);
    }
    return byPlace;
  }

  #makeRing(): Ring {
    const ring = Ring.of(this.addresses, this.#rings.get(this.#key));
    if (this.#rings.size >= MOST_GROUPS) this.#rings.clear();
    this.#rings.set(this.#key, ring);
    return ring;
  }
}
