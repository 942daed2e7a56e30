/**
 * How many questions a node has at the room stream at once: thousands of rooms may open, or come back
 * after a break of the link, in one moment. The others wait in the order they came.
 */
export class Readings {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;

  constructor(most: number) {
    this.#most = most;
  }

  async run<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    if (this.#underWay >= this.#most) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#underWay += 1;
    try {
      return await ask();
    } finally {
      // The place is handed on: it stays taken.
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay -= 1;
      else next();
    }
  }
}
