/** Devices come, go and vanish while processes are struck; a subscriber must end with who is online. */

import { patient } from "../support/patience.ts";
import { checkConnectionState } from "./check-connection-state.ts";
import { openHistory, readHistories } from "./history.ts";
import { type RunOptions, shake } from "./run-routes.ts";
import type { Stage } from "./stage.ts";
import { subscribeToState } from "./state-subscriber.ts";
import { untilSettled } from "./until-settled.ts";

export interface StateOptions extends RunOptions {
  missesNodeDown?: boolean;
}

const SETTLED_WITHIN_MS = 60_000;

/** Returns what is wrong with what the subscriber saw, a line each. */
export async function runState(stage: Stage, options: StateOptions): Promise<string[]> {
  const { clients, folder, natsUrls } = stage;
  const { report, missesNodeDown = false } = options;
  await using history = openHistory(folder, "subscriber");
  await using _ = await subscribeToState({ natsUrls, history, missesNodeDown });
  await shake(stage, options);
  const verdict = async () => {
    await Promise.all([history.flushed(), clients.report()]);
    return checkConnectionState(await readHistories(folder), stage.lostTails);
  };
  const problems = await untilSettled(
    patient(SETTLED_WITHIN_MS),
    async () => (await verdict()).problems,
  );
  const { online, offline } = await verdict();
  report(`the subscriber saw ${online} online and ${offline} offline`);
  return problems;
}
