import type { Appender, KeyedAppender, Stored } from "./contract.ts";

type Options = Parameters<KeyedAppender["append"]>[4];

interface Waiting {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly stored: Stored;
  readonly options: Options;
}

/** Messages of one key: one is in the window, the others wait here. */
interface Line {
  /** Whose message is in the window. */
  owner: object | undefined;
  /** Made when a second message comes: most keys have one at a time. */
  waiting: Waiting[] | undefined;
}

/** What waits behind others of its key may be so much before `ready` says so. */
const MAX_WAITING = 65_536;

/** An appender whose messages of one key are in flight one after the other. */
export class LinedAppender implements KeyedAppender {
  readonly #appender: Appender & { forget(owner: object): void };
  readonly #lines = new Map<string, Line>();
  #waiting = 0;

  constructor(appender: Appender & { forget(owner: object): void }) {
    this.#appender = appender;
  }

  get ready(): boolean {
    return this.#appender.ready && this.#waiting < MAX_WAITING;
  }

  get backlog(): number {
    return this.#appender.backlog + this.#waiting;
  }

  append(
    key: string,
    subject: string,
    payload: Uint8Array,
    stored: Stored,
    options: Options,
  ): void {
    const message = { subject, payload, stored, options };
    const line = this.#lines.get(key);
    if (line !== undefined) {
      line.waiting ??= [];
      line.waiting.push(message);
      this.#waiting += 1;
      return;
    }
    const first: Line = { owner: options.owner, waiting: undefined };
    this.#lines.set(key, first);
    this.#send(key, first, message);
  }

  forget(owner: object): void {
    this.#appender.forget(owner);
    for (const [key, line] of [...this.#lines]) {
      if (line.waiting !== undefined) {
        const kept = line.waiting.filter(({ options }) => options.owner !== owner);
        this.#waiting -= line.waiting.length - kept.length;
        line.waiting = kept;
      }
      // Its message is not answered any more.
      if (line.owner === owner) this.#next(key, line);
    }
  }

  #send(key: string, line: Line, { subject, payload, stored, options }: Waiting): void {
    this.#appender.append(
      subject,
      payload,
      (sequence, duplicate) => {
        // The next one first: a callback that throws must not hold the key up.
        this.#next(key, line);
        stored(sequence, duplicate);
      },
      {
        ...options,
        refused: (why) => {
          this.#next(key, line);
          options.refused(why);
        },
      },
    );
  }

  #next(key: string, line: Line): void {
    const next = line.waiting?.shift();
    if (next === undefined) {
      this.#lines.delete(key);
      return;
    }
    this.#waiting -= 1;
    line.owner = next.options.owner;
    this.#send(key, line, next);
  }
}
