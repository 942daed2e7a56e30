/**
 * Every projector is killed and stays away, while clients stay and others come. Nodes live by the log: nobody is
 * dropped, everybody who comes is welcomed at once, and the routes are right soon after the projectors are back.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { getDevices } from "../support/api.ts";
import { checkRoutes } from "./check-routes.ts";
import { readHistories } from "./history.ts";
import type { RunOptions } from "./run-routes.ts";
import { namesOf, type Stage } from "./stage.ts";
import { untilSettled } from "./until-settled.ts";

const LOGINS_PER_SECOND = 50;
const ROUTES_RIGHT_WITHIN_MS = 10_000;
const REPORT_EVERY_MS = 10_000;
/** The last of those who come may be on its way. */
const LAST_LOGIN_MS = 10_000;
/** What one call of GetDevices takes. */
const DEVICES_A_CALL = 10_000;

/** Returns what is wrong, a line each. */
export async function runProjectorsAway(stage: Stage, options: RunOptions): Promise<string[]> {
  const { seconds, report } = options;
  const { clients, deployment, devices, folder } = stage;
  const problems: string[] = [];
  for (const projector of deployment.projectors) await projector.kill();
  const awayAt = performance.now();
  report("every projector was killed");

  const coming = LOGINS_PER_SECOND * seconds;
  const names = namesOf("comer", coming);
  const comers = await stage.moreClients("comer", names, { spreadMs: 1_000 / LOGINS_PER_SECOND });
  const state = async () => ({ stay: await clients.report(), come: await comers.report() });
  while (performance.now() - awayAt < seconds * 1_000) {
    await sleep(
      Math.min(REPORT_EVERY_MS, Math.max(0, awayAt + seconds * 1_000 - performance.now())),
    );
    const { stay, come } = await state();
    report(
      `${stay.online} of ${devices.length} stay, ${come.online} came, ${come.refusals} refusals`,
    );
  }
  await sleep(LAST_LOGIN_MS);
  const { stay, come } = await state();
  const lost = stay.logins - devices.length + (devices.length - stay.online);
  if (lost > 0) problems.push(`${lost} clients were dropped while the projectors were away`);
  if (come.online < coming || come.refusals > 0 || come.logins > coming) {
    problems.push(
      `of ${coming} who came ${come.online} are online, after ${come.logins} logins and ${come.refusals} refusals`,
    );
  }

  for (const projector of deployment.projectors) await projector.start();
  const backAt = performance.now();
  report("the projectors are started again");
  const everybody = [...devices, ...names];
  const wrong = await untilSettled(ROUTES_RIGHT_WITHIN_MS, async () => {
    await state();
    const shown = [];
    for (let from = 0; from < everybody.length; from += DEVICES_A_CALL) {
      const some = everybody.slice(from, from + DEVICES_A_CALL);
      shown.push(...(await getDevices(deployment.pushUrl, some)));
    }
    return checkRoutes(await readHistories(folder), shown);
  });
  report(
    `${wrong.length} routes wrong after ${((performance.now() - backAt) / 1_000).toFixed(1)} s`,
  );
  const after = await state();
  if (after.stay.logins > stay.logins || after.come.logins > come.logins) {
    problems.push("clients were dropped when the projectors came back");
  }
  return [...problems, ...wrong];
}
