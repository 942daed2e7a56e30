import { MemberOrder } from "./member-order.ts";

/** Those that are more than one, and their order while somebody pages through them. */
class Group<T extends object> {
  readonly members: Set<T>;
  order: MemberOrder<T> | undefined;
  /** Whether somebody asked for the order lately. */
  paged = false;

  constructor(members: Iterable<T>) {
    this.members = new Set(members);
  }
}

/**
 * Members by group: who is in a room, which devices a user has. Empty groups leave nothing behind, and
 * most are of one, which stands for itself.
 */
export class GroupIndex<T extends object> {
  readonly #idOf: (member: T) => string;
  readonly #groups = new Map<string, T | Group<T>>();
  /** Those that have an order. */
  readonly #paged = new Set<Group<T>>();

  /** `idOf`: by what members are ordered; the same for as long as they are members. */
  constructor(idOf: (member: T) => string) {
    this.#idOf = idOf;
  }

  add(app: string, id: string, member: T): void {
    const key = groupKey(app, id);
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, member);
    else if (group instanceof Group) {
      group.members.add(member);
      group.order?.added(member);
    } else if (group !== member) this.#groups.set(key, new Group([group, member]));
  }

  remove(app: string, id: string, member: T): void {
    const key = groupKey(app, id);
    const group = this.#groups.get(key);
    if (group === member) this.#groups.delete(key);
    if (!(group instanceof Group)) return;
    if (group.members.delete(member)) group.order?.removed();
    if (group.members.size > 0) return;
    this.#groups.delete(key);
    this.#paged.delete(group);
  }

  /** How many groups have members. */
  get size(): number {
    return this.#groups.size;
  }

  count(app: string, id: string): number {
    const group = this.#groups.get(groupKey(app, id));
    if (group === undefined) return 0;
    return group instanceof Group ? group.members.size : 1;
  }

  members(app: string, id: string): Iterable<T> {
    const group = this.#groups.get(groupKey(app, id));
    if (group === undefined) return [];
    return group instanceof Group ? group.members : [group];
  }

  /**
   * Members in the order of their ids, from the first one past `after`. Costs what is taken of it,
   * but for the first time in a while.
   */
  membersAfter(app: string, id: string, after: string): Iterable<T> {
    const group = this.#groups.get(groupKey(app, id));
    if (group === undefined) return [];
    if (!(group instanceof Group)) return this.#idOf(group) > after ? [group] : [];
    group.order ??= new MemberOrder(group.members, this.#idOf);
    group.paged = true;
    this.#paged.add(group);
    return group.order.after(after);
  }

  /** Forgets the orders that nobody has asked for since the last call. */
  forgetOrders(): void {
    for (const group of this.#paged) {
      if (group.paged) group.paged = false;
      else {
        group.order = undefined;
        this.#paged.delete(group);
      }
    }
  }
}

/** Ids hold no control characters, so no two pairs give the same key. */
export function groupKey(app: string, id: string): string {
  return `${app}\n${id}`;
}
