/**
 * The leader of each stream and bucket is killed in turn under load, and comes back. Elections are every day's: no
 * partition may be loaded again, no client may notice, nothing accepted may be lost, and who is online is told exactly.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import { eventually } from "../support/eventually.ts";
import { connectToNats } from "../support/nats-connection.ts";
import { Ownership } from "../support/ownership.ts";
import { patient } from "../support/patience.ts";
import { pick, seededRandom } from "../support/seeded-random.ts";
import { checkConnectionState } from "./check-connection-state.ts";
import { checkMustArrive } from "./check-must-arrive.ts";
import { openHistory, readHistories } from "./history.ts";
import type { MustArriveOptions } from "./run-must-arrive.ts";
import { routeProblems } from "./run-routes.ts";
import { sendUntil } from "./sender.ts";
import { namesOf, type Stage } from "./stage.ts";
import { subscribeToState } from "./state-subscriber.ts";
import { noteExpired, undelivered } from "./undelivered.ts";
import { untilSettled } from "./until-settled.ts";

const RESTLESS_SHARE = 0.1;
const RESTLESSNESS = { onlineMs: 8_000, awayMs: 3_000 };
const DOWN_MS = 3_000;
const OURS = /^(HF_|KV_hf_)/;
const SETTLED_WITHIN_MS = 120_000;

/** Kills until each leader had its turn, and on until `seconds` are over. Returns what is wrong, a line each. */
export async function runLeaders(stage: Stage, options: MustArriveOptions): Promise<string[]> {
  const { seed, perSecond, report } = options;
  const { clients, deployment, devices, folder, natsUrls } = stage;
  await using history = openHistory(folder, "sender");
  await using seen = openHistory(folder, "subscriber");
  await using _ = await subscribeToState({ natsUrls, history: seen });
  const restless = namesOf("comer", Math.ceil(devices.length * RESTLESS_SHARE));
  const comers = await stage.moreClients("comer", restless, {});
  await comers.beRestless(RESTLESSNESS);
  await using ownership = await Ownership.open(natsUrls, deployment);
  const stop = new AbortController();
  const { pushUrl } = deployment;
  const sending = sendUntil(stop.signal, { pushUrl, devices, history, seed, perSecond });

  await killLeaders(stage, options);

  const { losses } = ownership;
  const stayed = await clients.report();
  stop.abort();
  const sent = await sending;
  await comers.settle();
  await eventually("the restless are back", async () => {
    const { devices: all, online } = await comers.report();
    return online === all;
  });
  report(`settled: ${sent.accepted} accepted, ${sent.retriedCalls} calls made again`);

  const problems: string[] = [];
  const dropped = stayed.logins - devices.length;
  if (dropped > 0 || stayed.online < devices.length) {
    problems.push(
      `of ${devices.length} clients that wanted to stay ${stayed.online} are online, ${dropped} logins were made again`,
    );
  }
  for (const [what, count] of Object.entries(losses)) {
    if (count > 0) problems.push(`ownership: ${what} ${count}`);
  }
  const written = async () => {
    await Promise.all([history.flushed(), seen.flushed(), clients.report(), comers.report()]);
    return readHistories(folder);
  };
  const unsettled = await untilSettled(patient(SETTLED_WITHIN_MS), async () => {
    await noteExpired(pushUrl, undelivered(await written()), history);
    const entries = await written();
    return [...checkMustArrive(entries).problems, ...checkConnectionState(entries).problems];
  });
  return [...problems, ...unsettled, ...(await routeProblems(stage, restless))];
}

async function killLeaders(stage: Stage, { seed, seconds, report }: MustArriveOptions) {
  const random = seededRandom(seed);
  await using connection = await connectToNats(...stage.natsUrls);
  const manager = await jetstreamManager(connection.nc);
  /** While a leader is chosen the cluster does not answer. */
  const streams = () =>
    eventually("the cluster tells of its streams", async () => {
      const found = await Array.fromAsync(manager.streams.list()).catch(() => []);
      return found.length > 0 && found.filter(({ config }) => OURS.test(config.name));
    });
  const startedAt = performance.now();
  const waiting = (await streams()).map(({ config }) => config.name);
  const names = [...waiting];
  while (waiting.length > 0 || performance.now() - startedAt < seconds * 1_000) {
    const next = pick(random, waiting.length > 0 ? waiting : names);
    waiting.splice(waiting.indexOf(next), waiting.includes(next) ? 1 : 0);
    const leader = await eventually(
      `${next} has a leader`,
      async () => (await streams()).find(({ config }) => config.name === next)?.cluster?.leader,
    );
    report(`kill -9 of ${leader}, the leader of ${next}`);
    const server = stage.cluster.server(leader);
    await server.kill();
    await sleep(DOWN_MS);
    await server.start();
    await eventually(
      "every stream has three copies again",
      async () => (await streams()).every(whole),
      {
        withinMs: 60_000,
        everyMs: 250,
      },
    );
  }
}

function whole({ cluster }: StreamInfo): boolean {
  const copies = cluster?.replicas ?? [];
  return (
    Boolean(cluster?.leader) &&
    copies.length === 2 &&
    copies.every((copy) => copy.current && !copy.offline)
  );
}
