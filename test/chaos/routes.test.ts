/** A short run of `npm run chaos -- routes`; longer ones, and other seeds, are for the command line. */
import { expect, test } from "vitest";
import { tempFolder } from "../support/temp-folder.ts";
import { runRoutes } from "./run-routes.ts";
import { setStage } from "./stage.ts";

const SEED = 7;
const SECONDS = 15;

test("after processes were killed and held, every device is where GetDevices says", {
  timeout: 240_000,
}, async () => {
  await using folder = await tempFolder();
  await using stage = await setStage({ folder: folder.path, seed: SEED, clients: 300 });
  const struck: string[] = [];
  const problems = await runRoutes(stage, {
    seed: SEED,
    seconds: SECONDS,
    report: (line) => struck.push(line),
  });
  expect(problems, struck.join("\n")).toEqual([]);
});
