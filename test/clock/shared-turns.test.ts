import { expect, test } from "vitest";
import { SharedTurns } from "../../internal/clock/shared-turns.ts";

/** Time that passes by working, and turns that end when they are told to. */
class Turns {
  #atMs = 0;
  #ends: (() => void)[] = [];

  monotonic(): number {
    return this.#atMs;
  }

  turnEnd(fire: () => void): void {
    this.#ends.push(fire);
  }

  work(): void {
    this.#atMs += 1;
  }

  /** How long it took. */
  next(): number {
    const before = this.#atMs;
    for (const fire of this.#ends.splice(0)) fire();
    return this.#atMs - before;
  }
}

/** Steps that take a millisecond each. */
function* steps(turns: Turns, count: number, each: () => void) {
  for (let i = 0; i < count; i++) {
    turns.work();
    each();
    yield;
  }
}

test("long tasks share turns that are short together", async () => {
  const turns = new Turns();
  const slices = new SharedTurns(turns, 10);
  const done = [0, 0, 0, 0];
  const tasks = done.map((_, i) => slices.run(steps(turns, 50, () => void done[i]!++)));
  for (let turn = 0; turn < 30; turn++) {
    expect(turns.next()).toBeLessThanOrEqual(10);
    expect(Math.max(...done) - Math.min(...done)).toBeLessThanOrEqual(2);
  }
  await Promise.all(tasks);
  expect(done).toEqual([50, 50, 50, 50]);
});

test("what is short is done at once, and a step that fails fails the task", async () => {
  const turns = new Turns();
  const slices = new SharedTurns(turns);
  let done = 0;
  const short = slices.run(steps(turns, 1, () => done++));
  expect(done).toBe(1);
  turns.next();
  await short;
  const failing = slices.run(
    (function* () {
      yield;
      throw new Error("broken");
    })(),
  );
  await expect(failing).rejects.toThrow("broken");
});
