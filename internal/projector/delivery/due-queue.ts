/** Something that is to be looked at, at a time. */
export interface Due {
  /** The time of its valid place in the queue; Infinity when it is in none. The queue's own. */
  queuedAtMs: number;
}

interface Place<T> {
  readonly atMs: number;
  readonly item: T;
}

/**
 * Who is due next: a binary heap. Moving an item forward adds a second place and leaves the first
 * behind as void, which costs less than finding it.
 */
export class DueQueue<T extends Due> {
  readonly #heap: Place<T>[] = [];

  /** Places, void ones included. */
  get size(): number {
    return this.#heap.length;
  }

  /** Sees to it that the item comes up at `atMs` or before. */
  schedule(item: T, atMs: number): void {
    if (atMs >= item.queuedAtMs) return;
    item.queuedAtMs = atMs;
    this.#push({ atMs, item });
  }

  /** The next item that is due by `nowMs`. It is out of the queue then. */
  take(nowMs: number): T | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.atMs > nowMs) return undefined;
      this.#dropFirst();
      if (first.item.queuedAtMs !== first.atMs) continue;
      first.item.queuedAtMs = Number.POSITIVE_INFINITY;
      return first.item;
    }
  }

  #push(place: Place<T>): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(place);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || parent.atMs <= place.atMs) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = place;
  }

  #dropFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right !== undefined && right.atMs < child.atMs) {
        child = right;
        childAt += 1;
      }
      if (child.atMs >= last.atMs) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
