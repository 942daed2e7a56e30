/** A short run of `npm run chaos -- state` and `-- routes`; longer ones are for the command line. */
import { expect, test } from "vitest";
import { patient } from "../support/patience.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { routeProblems } from "./run-routes.ts";
import { runState } from "./run-state.ts";
import { setStage } from "./stage.ts";

const SEED = 7;
const SECONDS = 15;

test("while processes are killed and held, a subscriber sees every device come and go, and afterwards each is where GetDevices says", {
  timeout: patient(240_000),
}, async () => {
  await using folder = await tempFolder();
  await using stage = await setStage({ folder: folder.path, seed: SEED, clients: 300 });
  const told: string[] = [];
  const report = (line: string) => told.push(line);
  const seen = await runState(stage, { seed: SEED, seconds: SECONDS, report });
  expect(seen, told.join("\n")).toEqual([]);
  expect(await routeProblems(stage), told.join("\n")).toEqual([]);
});
