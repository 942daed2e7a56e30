import type { LogReader } from "../bus/contract.ts";

interface Asking {
  readonly answer: Promise<number>;
  /** For those who came when the question was on its way: an answer to that may be older than they are. */
  next: Promise<number> | undefined;
}

/**
 * Where the logs end, as their leaders say. However many want to know, one question is on its way
 * for each partition, and one more waits for it.
 */
export class LogEnd {
  readonly #reader: Pick<LogReader, "lastSequence">;
  readonly #asking = new Map<number, Asking>();

  constructor(reader: Pick<LogReader, "lastSequence">) {
    this.#reader = reader;
  }

  /** The sequence of the newest record of a partition at some moment after this call. Rejects when nobody answers. */
  of(partition: number): Promise<number> {
    const asking = this.#asking.get(partition);
    if (asking === undefined) return this.#ask(partition);
    const again = () => this.of(partition);
    asking.next ??= asking.answer.then(again, again);
    return asking.next;
  }

  #ask(partition: number): Promise<number> {
    const answer = this.#reader.lastSequence(partition).finally(() => {
      this.#asking.delete(partition);
    });
    this.#asking.set(partition, { answer, next: undefined });
    return answer;
  }
}
