/** Where a node that is being emptied sends its clients. */

import type { Labels } from "../../streams/records.ts";
import type { Messages } from "../bus/contract.ts";
import type { Clock, Random } from "../clock/clock.ts";
import {
  type Address,
  addressesOf,
  hasLabels,
  hasRoom,
  labelsOf,
  takesConnections,
} from "../nodes/address.ts";
import { Pool } from "../nodes/pool.ts";
import { NodeRegistry } from "../nodes/registry.ts";

export interface OtherNodesOptions {
  messages: Messages;
  clock: Clock;
  random: Random;
  /** Of this node: its clients go to those that have the same, so to none of a canary, and out of no region. */
  labels: Labels;
  /** Where clients find this node, and those that share its ports. */
  ownUrls(): readonly string[];
  /** Whether Admit chooses the nodes of the app's devices by rules that are not known here. */
  asksAdmit(app: string): boolean;
}

const SILENCE_MS = 3_000;
/** How old what is prepared may be. */
const REFRESH_MS = 250;
const OFFERED = 4;

/**
 * The nodes that take clients, as they say themselves. Listens only while there is somebody to send away: all
 * beats of a large cluster at every node would be more than what the nodes say to anybody else.
 */
export class OtherNodes implements Disposable {
  readonly #options: OtherNodesOptions;
  readonly #registry: NodeRegistry;
  #pools = new Map<string, Pool>();
  #madeAt = Number.NEGATIVE_INFINITY;

  constructor(options: OtherNodesOptions) {
    this.#options = options;
    this.#registry = new NodeRegistry({ ...options, silenceMs: SILENCE_MS });
  }

  /** Some for one client, in an order of its own. Empty: Admit has to say. */
  endpointsFor(app: string, protocol: string): string[] {
    const { clock, random, asksAdmit } = this.#options;
    if (asksAdmit(app)) return [];
    const now = clock.monotonic();
    if (now - this.#madeAt >= REFRESH_MS) this.#prepare(now);
    const may = (address: Address) =>
      hasRoom(address) &&
      address.nodes.some((node) => takesConnections(node) && this.#registry.isLive(node, now));
    const offers = this.#pools.get(protocol)?.draw(OFFERED, may, random) ?? [];
    return offers.map(({ address }) => address.url);
  }

  [Symbol.dispose](): void {
    this.#registry[Symbol.dispose]();
  }

  #prepare(now: number): void {
    const { labels, ownUrls } = this.#options;
    const own = new Set(ownUrls());
    const nodes = [...this.#registry.heard].filter(
      (node) => takesConnections(node) && this.#registry.isLive(node, now),
    );
    const others = addressesOf(nodes).filter(
      (address) =>
        !own.has(address.url) &&
        hasLabels(labelsOf(address), labels) &&
        hasLabels(labels, labelsOf(address)),
    );
    const protocols = new Set(others.map(({ protocol }) => protocol));
    this.#pools = new Map(
      [...protocols].map((protocol) => {
        return [protocol, new Pool(others.filter((other) => other.protocol === protocol))];
      }),
    );
    this.#madeAt = now;
  }
}
