/** An access point, as Admit gives it. */
export interface Endpoint {
  url: string;
  /** The share of new connections meant for it, relative to the others. */
  weight: number;
}

/**
 * In which order to try: what the gateway advised comes first and as advised, then the rest by
 * chance, in proportion to the weights. `accepts` says what this platform can open.
 */
export function orderEndpoints(
  advised: readonly string[],
  endpoints: readonly Endpoint[],
  accepts: (url: string) => boolean,
  random: () => number,
): string[] {
  const chosen = new Set(advised.filter(accepts));
  const usable = endpoints.filter(({ url }) => accepts(url));
  for (const url of weightedOrder(usable, random)) chosen.add(url);
  return [...chosen];
}

/** Sorted by u^(1/weight), so that the chance to come first is proportional to the weight. */
function weightedOrder(endpoints: readonly Endpoint[], random: () => number): string[] {
  return endpoints
    .map(({ url, weight }) => ({ url, rank: weight > 0 ? random() ** (1 / weight) : -1 }))
    .sort((a, b) => b.rank - a.rank)
    .map(({ url }) => url);
}
