import type { Clock } from "./clock.ts";

/** How long one turn may take, in ms: others that share the event loop wait for it. */
const BUDGET_MS = 10;
/** What takes no longer is done at once. */
const SHORT_MS = 1;

interface Task {
  readonly steps: Iterator<unknown>;
  readonly done: () => void;
  readonly failed: (reason: unknown) => void;
}

/**
 * Long work in short turns. All that one process has of it shares the turns, step by step, so that
 * sixteen long tasks hold up the event loop no longer than one.
 */
export class SharedTurns {
  readonly #clock: Pick<Clock, "monotonic" | "turnEnd">;
  readonly #budgetMs: number;
  #tasks: Task[] = [];
  #planned = false;

  constructor(clock: Pick<Clock, "monotonic" | "turnEnd">, budgetMs = BUDGET_MS) {
    this.#clock = clock;
    this.#budgetMs = budgetMs;
  }

  /** Runs to the end of `steps`, each of them short. Rejects with what a step throws. */
  run(steps: Iterator<unknown>): Promise<void> {
    return new Promise((done, failed) => {
      const task = { steps, done, failed };
      const until = this.#clock.monotonic() + SHORT_MS;
      while (step(task)) {
        if (this.#clock.monotonic() < until) continue;
        this.#tasks.push(task);
        this.#plan();
        return;
      }
    });
  }

  #plan(): void {
    if (this.#planned || this.#tasks.length === 0) return;
    this.#planned = true;
    this.#clock.turnEnd(() => {
      this.#planned = false;
      this.#turn();
      this.#plan();
    });
  }

  #turn(): void {
    const until = this.#clock.monotonic() + this.#budgetMs;
    do {
      const task = this.#tasks.shift();
      if (task === undefined) return;
      if (step(task)) this.#tasks.push(task);
    } while (this.#clock.monotonic() < until);
  }
}

/** False at the end. */
function step({ steps, done, failed }: Task): boolean {
  try {
    if (steps.next().done !== true) return true;
    done();
  } catch (reason) {
    failed(reason);
  }
  return false;
}
