import { test } from "vitest";
import { patient } from "../support/patience.ts";
import { simulate } from "./run.ts";

/** Seeds are spread over the test files by remainder, so that they run side by side. */
const FILES = 2;
const SEEDS = 2_400;
const SEEDS_PER_TEST = 200;

/** Set to run just this one. */
const ONLY = process.env.HOLDFAST_SIM_SEED;

/** Registers this file's share of the seeds. */
export function testSeeds(file: number): void {
  if (ONLY !== undefined) {
    const seed = Number(ONLY);
    // A file without a test would count as failed.
    const run = seed % FILES === file ? test : test.skip;
    run(`seed ${seed} settles to the truth`, () => settles(seed));
    return;
  }
  for (let from = 1; from <= SEEDS; from += SEEDS_PER_TEST * FILES) {
    const seeds: number[] = [];
    for (let seed = from; seed < from + SEEDS_PER_TEST * FILES; seed++) {
      if (seed % FILES === file) seeds.push(seed);
    }
    test(`whatever breaks, the routes settle to the truth (${seeds.length} seeds from ${seeds[0]})`, {
      timeout: patient(120_000),
    }, async () => {
      for (const seed of seeds) await settles(seed);
    });
  }
}

async function settles(seed: number): Promise<void> {
  const { wrong, history } = await simulate(seed);
  if (wrong.length === 0) return;
  throw new Error(
    [
      `seed ${seed}:`,
      ...wrong.map((text) => `  - ${text}`),
      "replay with:",
      `  HOLDFAST_SIM_SEED=${seed} npx vitest run test/sim/`,
      "history:",
      ...history.map((line) => `  ${line}`),
    ].join("\n"),
  );
}
