import type { DeliveryCluster } from "./cluster.ts";

/** The ids of a stream's messages, for a while. */
export class RecentMessageIds {
  readonly #known = new Map<string, { sequence: number; at: number }>();
  readonly #keptMs: number;

  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  /** Where the message of this id was stored lately. */
  find(id: string, now: number): number | undefined {
    const known = this.#known.get(id);
    return known !== undefined && now - known.at < this.#keptMs ? known.sequence : undefined;
  }

  note(id: string, sequence: number, now: number): void {
    this.#known.set(id, { sequence, at: now });
  }

  /** The stream has lost everything above this sequence. */
  forgetAbove(sequence: number): void {
    for (const [id, known] of this.#known) if (known.sequence > sequence) this.#known.delete(id);
  }
}

/**
 * When something that a process has sent happens at the broker. What a process sent before it was cut off
 * or killed may still come, and how late that is depends on nothing but luck.
 */
export function arrival({ world, log }: DeliveryCluster, slowness: number): number {
  const delay = world.chance(0.3) ? world.between(0, slowness) : world.between(0, 30);
  return Math.max(world.now, log.downUntil) + delay;
}
