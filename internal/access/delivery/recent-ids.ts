/** The ids seen last, in a bounded number: two generations, of which the older goes when the newer is full. */
export class RecentIds {
  readonly #generation: number;
  #newer = new Set<bigint>();
  #older = new Set<bigint>();

  /** Keeps at least `count` ids, at most twice as many. */
  constructor(count: number) {
    this.#generation = count;
  }

  /** True the first time. */
  add(id: bigint): boolean {
    if (this.#newer.has(id) || this.#older.has(id)) return false;
    this.#newer.add(id);
    if (this.#newer.size >= this.#generation) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    return true;
  }
}
