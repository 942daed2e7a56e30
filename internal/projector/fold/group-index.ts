/** Members by group: who is in a room, which devices a user has. Empty groups leave nothing behind. */
export class GroupIndex<T> {
  readonly #groups = new Map<string, Set<T>>();

  add(app: string, id: string, member: T): void {
    const key = groupKey(app, id);
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Set([member]));
    else group.add(member);
  }

  remove(app: string, id: string, member: T): void {
    const key = groupKey(app, id);
    const group = this.#groups.get(key);
    if (group === undefined) return;
    group.delete(member);
    if (group.size === 0) this.#groups.delete(key);
  }

  /** How many groups have members. */
  get size(): number {
    return this.#groups.size;
  }

  count(app: string, id: string): number {
    return this.#groups.get(groupKey(app, id))?.size ?? 0;
  }

  members(app: string, id: string): Iterable<T> {
    return this.#groups.get(groupKey(app, id)) ?? [];
  }
}

/** Ids hold no control characters, so no two pairs give the same key. */
export function groupKey(app: string, id: string): string {
  return `${app}\n${id}`;
}
