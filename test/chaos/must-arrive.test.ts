/** A short run of `npm run chaos -- must-arrive`; longer ones are for the command line. */
import { expect, test } from "vitest";
import { patient } from "../support/patience.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { runMustArrive } from "./run-must-arrive.ts";
import { setStage } from "./stage.ts";

const SEED = 7;
const SECONDS = 20;

test("while processes are killed and held, every accepted message is delivered once and in order, or expires", {
  timeout: patient(300_000),
}, async () => {
  await using folder = await tempFolder();
  await using stage = await setStage({ folder: folder.path, seed: SEED, clients: 200 });
  const told: string[] = [];
  const verdict = await runMustArrive(stage, {
    seed: SEED,
    seconds: SECONDS,
    perSecond: 200,
    report: (line) => told.push(line),
  });
  expect(verdict, told.join("\n")).toMatchObject({
    duplicates: 0,
    outOfOrder: 0,
    lost: 0,
    misdelivered: 0,
    problems: [],
  });
  expect(verdict.delivered).toBeGreaterThan(0);
  expect(verdict.delivered + verdict.expired).toBe(verdict.accepted);
});
