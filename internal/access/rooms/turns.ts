/** Work in small steps. @returns whether there is more to do. */
export interface Job {
  step(): boolean;
}

export interface TurnsOptions {
  /** Milliseconds from an arbitrary start. */
  now: () => number;
  /** Calls in a later turn of the event loop, after what has come meanwhile. */
  defer: (fire: () => void) => void;
  /** The time that one turn of the event loop may take for this. */
  budgetMs: number;
}

/**
 * Spreads long work over turns of the event loop, so that a ping is answered while a message goes to a
 * hundred thousand members. Short work is done at once.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #jobs = new Set<Job>();
  #spentMs = 0;
  #working = false;
  #deferred = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** Does nothing for a job that is not finished: it goes on until it says that it is. */
  run(job: Job): void {
    this.#jobs.add(job);
    if (!this.#working) this.#work();
  }

  stop(job: Job): void {
    this.#jobs.delete(job);
  }

  #work(): void {
    const { now, budgetMs } = this.#options;
    const startedAt = now();
    const before = this.#spentMs;
    this.#working = true;
    try {
      // A job that is not finished goes to the end, so that a small room does not wait for a large one.
      for (const job of this.#jobs) {
        if (this.#spentMs >= budgetMs) break;
        this.#jobs.delete(job);
        if (job.step()) this.#jobs.add(job);
        this.#spentMs = before + now() - startedAt;
      }
    } finally {
      this.#working = false;
    }
    if (this.#jobs.size > 0) this.#deferRest();
  }

  #deferRest(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    this.#options.defer(() => {
      this.#deferred = false;
      this.#spentMs = 0;
      this.#work();
    });
  }
}
