/** As many may be out of order as are put in order again for each page. */
const MOST_ADDED = 256;

/**
 * The members of a large group by their ids, while somebody pages through it. Who comes meanwhile
 * waits beside the others until they are many; who goes is left out when he is come to.
 */
export class MemberOrder<T> {
  readonly #members: ReadonlySet<T>;
  readonly #idOf: (member: T) => string;
  #ordered: T[];
  #added: T[] = [];
  #gone = 0;

  /** `members` is read again whenever it is asked. */
  constructor(members: ReadonlySet<T>, idOf: (member: T) => string) {
    this.#members = members;
    this.#idOf = idOf;
    this.#ordered = this.#sorted(members);
  }

  added(member: T): void {
    this.#added.push(member);
  }

  removed(): void {
    this.#gone += 1;
  }

  /** Each member once, from the first one past this id. */
  *after(id: string): Generator<T> {
    this.#tidy();
    const [ordered, added] = [this.#ordered, this.#added];
    let i = this.#firstAfter(ordered, id);
    let j = this.#firstAfter(added, id);
    let last = id;
    for (;;) {
      const [one, other] = [ordered[i], added[j]];
      const next =
        other === undefined || (one !== undefined && this.#idOf(one) <= this.#idOf(other))
          ? one
          : other;
      if (next === undefined) return;
      if (next === one) i += 1;
      else j += 1;
      // Who has gone and come back is in both.
      if (this.#idOf(next) === last || !this.#members.has(next)) continue;
      last = this.#idOf(next);
      yield next;
    }
  }

  #tidy(): void {
    const { length } = this.#ordered;
    const many = this.#added.length > Math.max(MOST_ADDED, length / 8);
    if (many || this.#gone > Math.max(MOST_ADDED, length / 2)) {
      this.#ordered = this.#sorted(this.#members);
      this.#added = [];
      this.#gone = 0;
    } else {
      this.#added = this.#sorted(this.#added);
    }
  }

  #sorted(members: Iterable<T>): T[] {
    return [...members].sort((a, b) => (this.#idOf(a) < this.#idOf(b) ? -1 : 1));
  }

  #firstAfter(list: readonly T[], id: string): number {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const member = list[middle];
      if (member !== undefined && this.#idOf(member) > id) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
