/** Child processes that answer questions: what is measured and what loads it must not share one. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { tied } from "../../support/tied.ts";

interface Question {
  id: number;
  question: unknown;
}

interface Answer {
  id: number;
  answer?: unknown;
  error?: string;
}

/** The parent's end. */
export class Child<Questions extends { [name: string]: { ask: unknown; answer: unknown } }> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;

  /** Starts a TypeScript file: beside this one, unless it is a whole URL. */
  constructor(file: string | URL, options: { execArgv?: string[] } = {}) {
    const url = new URL(file, import.meta.url);
    this.#process = tied(fork(url, { execArgv: options.execArgv ?? [], stdio: "inherit" }));
    this.#process.on("message", (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#process.on("exit", (code) => {
      for (const settle of this.#waiting.values()) settle({ id: 0, error: `exit ${code}` });
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  ask<N extends keyof Questions & string>(
    name: N,
    ask: Questions[N]["ask"],
  ): Promise<Questions[N]["answer"]> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ answer, error }) => {
        if (error === undefined) resolve(answer as Questions[N]["answer"]);
        else reject(new Error(`${name}: ${error}`));
      });
      this.#process.send({ id, question: { name, ask } } satisfies Question);
    });
  }

  /** SIGSTOP, SIGCONT and the like. */
  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }
}

type Handlers<Questions extends { [name: string]: { ask: unknown; answer: unknown } }> = {
  [N in keyof Questions]: (
    ask: Questions[N]["ask"],
  ) => Questions[N]["answer"] | Promise<Questions[N]["answer"]>;
};

/** The child's end: answers until the parent is gone. */
export function answerParent<
  Questions extends { [name: string]: { ask: unknown; answer: unknown } },
>(handlers: Handlers<Questions>): void {
  process.on("message", async ({ id, question }: Question) => {
    const { name, ask } = question as { name: keyof Questions; ask: never };
    try {
      process.send?.({ id, answer: await handlers[name](ask) } satisfies Answer);
    } catch (error) {
      process.send?.({ id, error: String(error) } satisfies Answer);
    }
  });
  process.on("disconnect", () => process.exit(0));
}
