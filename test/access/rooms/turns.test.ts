import { expect, test } from "vitest";
import { Turns } from "../../../internal/access/rooms/turns.ts";

/** Each step takes a millisecond. */
function spread(budgetMs: number) {
  let now = 0;
  const deferred: (() => void)[] = [];
  const turns = new Turns({ now: () => now, defer: (fire) => void deferred.push(fire), budgetMs });
  const job = (steps: number) => {
    const one = {
      done: 0,
      step() {
        now += 1;
        one.done += 1;
        return one.done < steps;
      },
    };
    return one;
  };
  const nextTurn = () => deferred.shift()?.();
  return { turns, job, nextTurn, deferred };
}

test("short work is done at once", () => {
  const { turns, job, deferred } = spread(5);
  const short = job(3);
  turns.run(short);
  expect(short.done).toBe(3);
  expect(deferred).toEqual([]);
});

test("long work is spread over turns, each no longer than allowed", () => {
  const { turns, job, nextTurn, deferred } = spread(5);
  const long = job(12);
  turns.run(long);
  expect(long.done).toBe(5);
  nextTurn();
  expect(long.done).toBe(10);
  nextTurn();
  expect(long.done).toBe(12);
  expect(deferred).toEqual([]);
});

test("what comes meanwhile has its turn beside the long work", () => {
  const { turns, job, nextTurn } = spread(5);
  const long = job(1_000);
  turns.run(long);
  const short = job(2);
  turns.run(short);
  expect(short.done).toBe(0);
  nextTurn();
  expect(short.done).toBe(2);
  expect(long.done).toBe(8);
});

test("what is stopped is not gone on with", () => {
  const { turns, job, nextTurn } = spread(5);
  const long = job(1_000);
  turns.run(long);
  turns.stop(long);
  nextTurn();
  expect(long.done).toBe(5);
});
