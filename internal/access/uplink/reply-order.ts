/**
 * Replies in the order of their requests, whatever the order in which they come: each request takes
 * a place, and what fills a place is held until every place before it is filled.
 */
export interface Place<T> {
  value: T | undefined;
}

export class ReplyOrder<T> {
  #places: Place<T>[] = [];

  /** Places that are taken and whose values have not been given out. */
  get size(): number {
    return this.#places.length;
  }

  take(): Place<T> {
    const place: Place<T> = { value: undefined };
    this.#places.push(place);
    return place;
  }

  /** Fills a place, and gives what need not wait any longer, oldest first. */
  fill(place: Place<T>, value: T): T[] {
    place.value = value;
    const ready: T[] = [];
    for (const first of this.#places) {
      if (first.value === undefined) break;
      ready.push(first.value);
    }
    if (ready.length > 0) this.#places = this.#places.slice(ready.length);
    return ready;
  }
}
