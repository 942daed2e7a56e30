import { expect, test } from "vitest";
import { simulate } from "./run.ts";

const SEEDS = 1_200;
const SEEDS_PER_TEST = 200;

/** Set to run just this one. */
const ONLY = process.env.HOLDFAST_SIM_SEED;

if (ONLY !== undefined) {
  test(`seed ${ONLY} loses nothing`, () => arrives(Number(ONLY)));
} else {
  for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST) {
    test(`whatever breaks, messages arrive once and in order (${SEEDS_PER_TEST} seeds from ${from})`, {
      timeout: 300_000,
    }, async () => {
      for (let seed = from; seed < from + SEEDS_PER_TEST; seed++) await arrives(seed);
    });
  }
}

async function arrives(seed: number): Promise<void> {
  const { wrong } = await simulate(seed);
  const replay = `replay with HOLDFAST_SIM_SEED=${seed} npx vitest run test/sim/delivery`;
  expect(wrong, `seed ${seed}: ${replay}`).toEqual([]);
}
