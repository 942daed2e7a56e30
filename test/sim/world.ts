/**
 * Virtual time. Everything that happens in the simulation is an event at a time; events of one time
 * happen in the order they were scheduled. With chance drawn from one seed, a run repeats exactly.
 */
export interface SimEvent {
  at: number;
  order: number;
  fire: (() => void) | undefined;
}

/** The next turn of Node's event loop: by then every promise that can go on has done so. */
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

export class World {
  readonly random: () => number;
  now = 0;
  /** Set where a promise was settled, so that the run waits for what follows from it. */
  #settled = false;
  #order = 0;
  readonly #heap: SimEvent[] = [];

  constructor(seed: number) {
    this.random = mulberry32(seed);
  }

  /** A number from `low` up to `high`. */
  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.random() * list.length)];
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  at(time: number, fire: () => void): SimEvent {
    const event = { at: Math.max(time, this.now), order: this.#order++, fire };
    this.#push(event);
    return event;
  }

  after(delay: number, fire: () => void): SimEvent {
    return this.at(this.now + delay, fire);
  }

  /** To be called where a promise is resolved or rejected. */
  settles(): void {
    this.#settled = true;
  }

  async runUntil(time: number): Promise<void> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > time) break;
      this.#pop();
      this.now = next.at;
      next.fire?.();
      if (this.#settled) {
        this.#settled = false;
        await nextTurn();
      }
    }
    this.now = time;
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
