import { hash32 } from "../../streams/partition.ts";
import type { Clock } from "../clock/clock.ts";

/** A projector unheard for this long no longer counts. */
const GONE_MS = 3_500;
/** A new one counts after this long, so that one that keeps crashing is given nothing. */
const SETTLE_MS = 2_000;

/** The projectors that are alive, and which partitions each of them should own. */
export class Assignment {
  readonly #id: string;
  readonly #clock: Clock;
  readonly #others = new Map<string, { firstHeard: number; lastHeard: number }>();

  constructor(id: string, clock: Clock) {
    this.#id = id;
    this.#clock = clock;
  }

  heard(projector: string): void {
    if (projector === this.#id) return;
    const now = this.#clock.monotonic();
    const other = this.#others.get(projector);
    if (other === undefined) this.#others.set(projector, { firstHeard: now, lastHeard: now });
    else other.lastHeard = now;
  }

  tick(): void {
    const now = this.#clock.monotonic();
    for (const [projector, { lastHeard }] of this.#others) {
      if (now - lastHeard > GONE_MS) this.#others.delete(projector);
    }
  }

  /** Who should own the partition: the rendezvous choice among those that count. */
  preferred(partition: number): string {
    const settled = this.#clock.monotonic() - SETTLE_MS;
    const projectors = [this.#id];
    for (const [projector, { firstHeard }] of this.#others) {
      if (firstHeard <= settled) projectors.push(projector);
    }
    return rendezvous(partition, projectors);
  }
}

/** The one with the highest hash together with the partition: each change of the set moves few. */
export function rendezvous(partition: number, candidates: readonly string[]): string {
  let best = "";
  let highest = -1;
  for (const candidate of candidates) {
    const weight = hash32(`${partition}\n${candidate}`);
    if (weight > highest || (weight === highest && candidate > best)) {
      best = candidate;
      highest = weight;
    }
  }
  return best;
}
