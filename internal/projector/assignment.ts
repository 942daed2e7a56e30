import { hash32 } from "../../streams/partition.ts";

/** How many partitions of owners that are well may be on the move at once. */
const MOVES_AT_ONCE = 2;

/** A projector that counts. */
export interface Member {
  id: string;
  /** The partitions it had better not be given. */
  declined: ReadonlySet<number>;
}

/**
 * Who should own each partition, from who does: everybody at most an equal share, rounded up, and as
 * little is moved as that needs. All projectors come to the same result, from the same facts.
 *
 * `owners`: by partition, "" for nobody. Who is not a member is nobody.
 */
export function assign(members: readonly Member[], owners: readonly string[]): string[] {
  const shares = new Shares(members, owners.length);
  const wanted = owners.map((owner, partition) => (shares.keeps(owner, partition) ? owner : ""));
  for (const owner of wanted) shares.add(owner);
  let moving = 0;
  for (const [partition, owner] of wanted.entries()) {
    if (owner !== "") continue;
    moving += 1;
    const next = shares.choose(partition, owners[partition] ?? "");
    wanted[partition] = next;
    shares.add(next);
  }
  for (const partition of shares.surplus(wanted)) {
    if (moving >= MOVES_AT_ONCE) break;
    const owner = wanted[partition] ?? "";
    const next = shares.withRoom(partition);
    if (!shares.isFull(owner, 1) || next === undefined) continue;
    moving += 1;
    shares.remove(owner);
    wanted[partition] = next;
    shares.add(next);
  }
  return wanted;
}

class Shares {
  readonly #members: Map<string, { declined: ReadonlySet<number>; partitions: number }>;
  /** Those who take any at all. */
  readonly #takers: string[];
  readonly #share: number;

  constructor(members: readonly Member[], partitions: number) {
    this.#members = new Map(
      members.map(({ id, declined }) => [id, { declined, partitions: 0 }] as const),
    );
    const takers = members.filter(({ declined }) => declined.size < partitions);
    this.#takers = (takers.length > 0 ? takers : members).map(({ id }) => id);
    this.#share = Math.ceil(partitions / Math.max(1, this.#takers.length));
  }

  keeps(owner: string, partition: number): boolean {
    return this.#members.get(owner)?.declined.has(partition) === false;
  }

  add(owner: string): void {
    const member = this.#members.get(owner);
    if (member !== undefined) member.partitions += 1;
  }

  remove(owner: string): void {
    const member = this.#members.get(owner);
    if (member !== undefined) member.partitions -= 1;
  }

  isFull(id: string, above = 0): boolean {
    return (this.#members.get(id)?.partitions ?? 0) >= this.#share + above;
  }

  /** For a partition without an owner: somebody with room; else who has least; and if all decline, one of them. */
  choose(partition: number, owner: string): string {
    const roomy = this.withRoom(partition);
    if (roomy !== undefined) return roomy;
    const willing = this.#willing(partition);
    const some = willing.length > 0 ? willing : this.#takers;
    const least = Math.min(...some.map((id) => this.#members.get(id)?.partitions ?? 0));
    // Nobody wants it: then it need not move.
    if (willing.length === 0 && some.includes(owner)) return owner;
    return rendezvous(
      partition,
      some.filter((id) => this.#members.get(id)?.partitions === least),
    );
  }

  withRoom(partition: number): string | undefined {
    const roomy = this.#willing(partition).filter((id) => !this.isFull(id));
    return roomy.length === 0 ? undefined : rendezvous(partition, roomy);
  }

  /** What owners have above their share, of each those first that it would be the last to be given. */
  surplus(wanted: readonly string[]): number[] {
    return wanted
      .flatMap((owner, partition) => (this.isFull(owner, 1) ? [{ owner, partition }] : []))
      .sort((a, b) => weight(a.partition, a.owner) - weight(b.partition, b.owner))
      .map(({ partition }) => partition);
  }

  #willing(partition: number): string[] {
    return this.#takers.filter((id) => this.keeps(id, partition));
  }
}

/** The one with the highest hash together with the partition: each change of the set moves few. */
export function rendezvous(partition: number, candidates: readonly string[]): string {
  let best = "";
  let highest = -1;
  for (const candidate of candidates) {
    const weighs = weight(partition, candidate);
    if (weighs > highest || (weighs === highest && candidate > best)) {
      best = candidate;
      highest = weighs;
    }
  }
  return best;
}

/** By the name alone, so that a restart changes nothing. */
function weight(partition: number, id: string): number {
  return hash32(`${partition}\n${nameOf(id)}`);
}

/** The part of an id that stays over restarts. */
function nameOf(id: string): string {
  const dash = id.lastIndexOf("-");
  return dash < 0 ? id : id.slice(0, dash);
}
