import type { Beat } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Clock, Random } from "../clock/clock.ts";
import { SlotClock } from "../clock/slot-clock.ts";

/** What the nodes behind one address say, together. */
interface Address {
  nodes: number;
  overloaded: number;
}

/**
 * Where new clients are sent, and when. While some address has room, there and at once; while none has,
 * each client is given a turn of its own, as fast as the nodes together say that they can take them.
 */
export class Turns {
  readonly #slots = new SlotClock();
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The nodes to choose from, and when to connect, in milliseconds from now. */
  next(nodes: readonly Beat[]): { nodes: readonly Beat[]; afterMs: number } {
    const addresses = byUrl(nodes);
    const open = nodes.filter(({ endpoints }) =>
      endpoints.some(({ url }) => hasRoom(addresses.get(url))),
    );
    if (open.length > 0 || nodes.length === 0) return { nodes: open, afterMs: 0 };
    const perSecond = Math.max(
      1,
      nodes.reduce((sum, { loginsPerSecond }) => sum + loginsPerSecond, 0),
    );
    const soonestMs = Math.min(...nodes.map(({ retryAfterMs }) => retryAfterMs));
    const ahead = (soonestMs * perSecond) / 1_000;
    const about = { perSecond, ahead, random: this.#random };
    return { nodes, afterMs: this.#slots.take(this.#clock.monotonic(), about) };
  }
}

/** Workers share an address, and chance decides which of them a client gets. */
function byUrl(nodes: readonly Beat[]): Map<string, Address> {
  const addresses = new Map<string, Address>();
  for (const { endpoints, retryAfterMs } of nodes) {
    for (const { url } of endpoints) {
      const { nodes: before, overloaded } = addresses.get(url) ?? { nodes: 0, overloaded: 0 };
      addresses.set(url, {
        nodes: before + 1,
        overloaded: overloaded + (retryAfterMs > 0 ? 1 : 0),
      });
    }
  }
  return addresses;
}

function hasRoom(address: Address | undefined): boolean {
  return address !== undefined && address.overloaded * 2 < address.nodes;
}
