/** Devices come, go and vanish while processes are struck; afterwards every route must be right. */
import { getDevices } from "../support/api.ts";
import { patient } from "../support/patience.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { checkRoutes } from "./check-routes.ts";
import { readHistories } from "./history.ts";
import { unleash } from "./nemesis.ts";
import type { Stage } from "./stage.ts";
import { untilSettled } from "./until-settled.ts";

export interface RunOptions {
  seed: number;
  /** How long processes are struck. */
  seconds: number;
  /** Told what happens, a line each. */
  report(line: string): void;
}

const RESTLESSNESS = { onlineMs: 6_000, awayMs: 3_000 };
const SHARE_LEFT_AWAY = 0.3;
/** A dead node is noticed within 5 s, a dead projector is followed within 15 s, a lost event within 30 s. */
const SETTLED_WITHIN_MS = 60_000;

/** Returns what is wrong with the routes, a line each. */
export async function runRoutes(stage: Stage, options: RunOptions): Promise<string[]> {
  await shake(stage, options);
  return routeProblems(stage);
}

/** What is still wrong with the routes when there was time to set them right, a line each. */
export function routeProblems(
  { clients, deployment, devices, folder }: Stage,
  others: readonly string[] = [],
): Promise<string[]> {
  return untilSettled(patient(SETTLED_WITHIN_MS), async () => {
    await clients.report();
    const shown = await getDevices(deployment.pushUrl, [...devices, ...others]);
    return checkRoutes(await readHistories(folder), shown);
  });
}

/** Ends with a share of the devices away for good and all others connected. */
export async function shake(stage: Stage, options: RunOptions): Promise<void> {
  const { seed, seconds, report } = options;
  await stage.clients.beRestless(RESTLESSNESS);
  await unleash(stage.plan(seed, seconds), stage.victims, report);

  const random = seededRandom(seed);
  const away = stage.devices.filter(() => random() < SHARE_LEFT_AWAY);
  await stage.clients.settle(away);
  await stage.everybodyOnline(away);
  report(`settled: ${stage.devices.length - away.length} connected, ${away.length} away`);
}
