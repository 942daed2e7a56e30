import type { Random } from "../clock/clock.ts";

/** What choosing needs to know of a live access node. */
export interface AccessPoint {
  node: string;
  url: string;
  /** "websocket" or "tcp". */
  protocol: string;
  /** Connections of the node. */
  connections: number;
}

export interface WeightedAccessPoint extends AccessPoint {
  /** 1 to 100: the share of new connections meant for it, relative to the others. */
  weight: number;
}

/** How many of a protocol are offered: enough to survive some failures, few enough for a phone. */
const OFFERED = 4;
/** Below this many connections a difference in load says nothing. */
const SMOOTHING = 100;

/**
 * The access points to offer one client, best first: less loaded ones are likelier to come first,
 * but chance decides, so that clients admitted in one second do not all run to the same node.
 * Web pages get only WebSocket. Nodes that share an address (`--workers`) count as one.
 */
export function chooseAccessPoints(
  points: readonly AccessPoint[],
  platform: string,
  random: Random,
): WeightedAccessPoint[] {
  const usable = mergeByUrl(points).filter(
    (point) => platform !== "web" || point.protocol === "websocket",
  );
  const least = Math.min(...usable.map((point) => point.connections));
  const weighted = usable.map((point) => ({
    ...point,
    weight: Math.max(1, Math.round((100 * (least + SMOOTHING)) / (point.connections + SMOOTHING))),
  }));
  const order = weightedOrder(weighted, random);
  return ["websocket", "tcp"].flatMap((protocol) =>
    order.filter((point) => point.protocol === protocol).slice(0, OFFERED),
  );
}

function mergeByUrl(points: readonly AccessPoint[]): AccessPoint[] {
  const byUrl = new Map<string, AccessPoint>();
  for (const point of points) {
    const same = byUrl.get(point.url);
    if (same === undefined) byUrl.set(point.url, { ...point });
    else same.connections += point.connections;
  }
  return [...byUrl.values()];
}

/**
 * A random order in which the chance to come first is proportional to the weight: sorted by
 * u^(1/weight) (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
 */
function weightedOrder<T extends { weight: number }>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, rank: random() ** (1 / item.weight) }))
    .sort((a, b) => b.rank - a.rank)
    .map(({ item }) => item);
}
