import { expect, test } from "vitest";
import { simulate } from "./run.ts";

const SEEDS = 300;
const SEEDS_PER_TEST = 50;

/** Set to run just this one. */
const ONLY = process.env.HOLDFAST_SIM_SEED;

if (ONLY !== undefined) {
  test(`seed ${ONLY} loses nothing silently`, () => arrives(Number(ONLY)));
} else {
  for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST) {
    test(`whatever breaks, room messages come once, in order, or the member is told (${SEEDS_PER_TEST} seeds from ${from})`, {
      timeout: 120_000,
    }, async () => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) await arrives(seed);
    });
  }

  test("the check finds what is lost when nothing is refilled", async () => {
    let lost = 0;
    for (let seed = 1; seed <= 10; seed++) {
      lost += (await simulate(seed, { blind: true })).wrong.length;
    }
    expect(lost).toBeGreaterThan(0);
  });
}

async function arrives(seed: number): Promise<void> {
  const { wrong } = await simulate(seed);
  const replay = `replay with HOLDFAST_SIM_SEED=${seed} npx vitest run test/sim/rooms`;
  expect(wrong.slice(0, 5), `seed ${seed}: ${replay}`).toEqual([]);
}
