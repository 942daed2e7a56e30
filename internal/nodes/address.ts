/** Where clients connect to: the nodes behind one URL, which are several with `--workers`. */
import type { Labels } from "../../streams/records.ts";
import { type Heard, isFull } from "./registry.ts";

export interface Address {
  readonly url: string;
  /** "websocket" or "tcp". */
  readonly protocol: string;
  readonly nodes: Heard[];
}

/** Below this many connections a difference in their number says nothing. */
const SMOOTHING = 100;
/** Also a loop without a moment of rest is given a little, so that it is found out when it has some. */
const LEAST_REST = 0.05;
/** Of a node that does not say. */
const USUAL_WEIGHT = 100;

/** The addresses of these nodes. */
export function addressesOf(nodes: Iterable<Heard>): Address[] {
  const byUrl = new Map<string, Address>();
  for (const node of nodes) {
    for (const { url, protocol } of node.beat.endpoints) {
      const address = byUrl.get(url);
      if (address === undefined) byUrl.set(url, { url, protocol, nodes: [node] });
      else address.nodes.push(node);
    }
  }
  return [...byUrl.values()];
}

/** Whether clients may be sent to the node. */
export function takesConnections({ beat }: Pick<Heard, "beat">): boolean {
  return beat.serving && !beat.draining && !isFull(beat);
}

/** Whether less than half of the nodes behind the address are overloaded: chance decides which one a client gets. */
export function hasRoom({ nodes }: Address): boolean {
  let overloaded = 0;
  for (const { beat } of nodes) if (beat.retryAfterMs > 0) overloaded += 1;
  return overloaded * 2 < nodes.length;
}

export function hasLabels(has: Labels, wanted: Labels): boolean {
  for (const name in wanted) if (has[name] !== wanted[name]) return false;
  return true;
}

export function labelsOf({ nodes }: Address): Labels {
  return nodes[0]?.beat.labels ?? {};
}

/** The name that stays over restarts, and is the same for all protocols of a node. */
export function placeOf({ nodes }: Address): string {
  let least = nodes[0]?.beat.name ?? "";
  for (const { beat } of nodes) if (beat.name < least) least = beat.name;
  return least;
}

/** The share of clients meant for it: what its operator wants, less the fuller it is and the busier its loop. */
export function weightOf({ nodes }: Address): number {
  let weight = 0;
  let connections = 0;
  let load = 0;
  for (const { beat } of nodes) {
    weight += beat.weight || USUAL_WEIGHT;
    connections += beat.connections;
    load += beat.load;
  }
  const rest = Math.max(LEAST_REST, 1 - load / nodes.length);
  return (weight * rest) / (connections / nodes.length + SMOOTHING);
}
