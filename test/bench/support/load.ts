/** Many clients over several processes, and what they have come to. */
import { Child } from "./child.ts";
import type { Behaviour, LoadCounts, LoadProcess } from "./load-process.ts";

export interface LoadOptions {
  port: number;
  /** One client for each. */
  tokens: readonly string[];
  behaviour: Behaviour;
  /** Attempts at once, over all processes. */
  inFlight: number;
  /** No attempt is begun after so long. */
  seconds: number;
  room?: string;
}

/** Half of what a process may hold open: a socket that is being closed counts as well. */
const CLIENTS_EACH = 10_000;

export class Load implements AsyncDisposable {
  readonly #processes: Child<LoadProcess>[];
  #began: Promise<unknown> = Promise.resolve();

  /** Clients begin to connect at once. */
  constructor({ tokens, inFlight, room = "", ...common }: LoadOptions) {
    const count = Math.max(1, Math.ceil(tokens.length / CLIENTS_EACH));
    const each = Math.ceil(tokens.length / count);
    this.#processes = Array.from({ length: count }, () => new Child("./load-process.ts"));
    this.#began = this.#all((child, process) =>
      child.ask("begin", {
        ...common,
        room,
        process,
        tokens: tokens.slice(process * each, (process + 1) * each),
        inFlight: Math.max(1, Math.round(inFlight / count)),
      }),
    );
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid);
  }

  async counts(): Promise<LoadCounts> {
    await this.#began;
    const counts = await this.#all((child) => child.ask("counts", null));
    return counts.reduce(sumOf);
  }

  /** No attempts any more; those who are in stay. */
  async rest(): Promise<void> {
    await this.#all((child) => child.ask("rest", null));
  }

  /** All at once, without a word. */
  async vanish(): Promise<void> {
    await this.#all((child) => child.ask("vanish", null));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all((child) => child[Symbol.asyncDispose]());
  }

  #all<T>(ask: (child: Child<LoadProcess>, index: number) => Promise<T>): Promise<T[]> {
    return Promise.all(this.#processes.map(ask));
  }
}

function sumOf(a: LoadCounts, b: LoadCounts): LoadCounts {
  const reasons = { ...a.reasons };
  for (const [why, count] of Object.entries(b.reasons)) reasons[why] = (reasons[why] ?? 0) + count;
  return {
    atMs: Math.max(a.atMs, b.atMs),
    loggedIn: a.loggedIn + b.loggedIn,
    attempts: a.attempts + b.attempts,
    welcomes: a.welcomes + b.welcomes,
    refusals: a.refusals + b.refusals,
    losses: a.losses + b.losses,
    reasons,
  };
}

/** One line of progress. */
export function shown({ loggedIn, attempts, refusals, losses }: LoadCounts): string {
  return `${loggedIn} in, ${attempts} attempts, ${refusals} refused, ${losses} lost`;
}
