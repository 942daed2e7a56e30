/** A sender and restless clients while processes are struck; nothing accepted may be lost, doubled or shuffled. */
import { setTimeout as sleep } from "node:timers/promises";
import { patient } from "../support/patience.ts";
import { checkMustArrive, type MustArriveVerdict } from "./check-must-arrive.ts";
import { openHistory, readHistories } from "./history.ts";
import { unleash } from "./nemesis.ts";
import type { RunOptions } from "./run-routes.ts";
import { sendUntil } from "./sender.ts";
import type { Stage } from "./stage.ts";
import { keepTraces, noteExpired, undelivered } from "./undelivered.ts";
import { untilSettled } from "./until-settled.ts";

export interface MustArriveOptions extends RunOptions {
  /** Messages offered a second. */
  perSecond: number;
}

const RESTLESSNESS = { onlineMs: 12_000, awayMs: 2_000 };
/** Unacknowledged messages are retried after 2, 5 and 15 s, and moved to the mailbox after 60 s. */
const SETTLED_WITHIN_MS = 120_000;

export async function runMustArrive(
  stage: Stage,
  options: MustArriveOptions,
): Promise<MustArriveVerdict> {
  const { seed, seconds, perSecond, report } = options;
  const { clients, deployment, devices, folder } = stage;
  const plan = stage.plan(seed, seconds);

  await using history = openHistory(folder, "sender");
  const stop = new AbortController();
  const sending = sendUntil(stop.signal, {
    pushUrl: deployment.pushUrl,
    devices,
    history,
    seed,
    perSecond,
  });
  await clients.beRestless(RESTLESSNESS);
  await Promise.all([unleash(plan, stage.victims, report), sleep(seconds * 1_000)]);
  stop.abort();
  const sent = await sending;
  await clients.settle();
  await stage.everybodyOnline();
  const { logins, repeats } = await clients.report();
  report(
    `settled: ${sent.accepted} accepted, refused ${JSON.stringify(sent.refused)}, ${sent.retriedCalls} calls made again, ` +
      `${logins} logins, ${repeats} deliveries that came again and were dropped`,
  );

  const written = async () => {
    await Promise.all([history.flushed(), clients.report()]);
    return readHistories(folder);
  };
  await untilSettled(patient(SETTLED_WITHIN_MS), async () => {
    await noteExpired(deployment.pushUrl, undelivered(await written()), history);
    return checkMustArrive(await written(), stage.lostTails).problems;
  });
  const entries = await written();
  await keepTraces(deployment.pushUrl, undelivered(entries), folder);
  return checkMustArrive(entries, stage.lostTails);
}
