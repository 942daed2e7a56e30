/**
 * A region's clients are gone at once: separate roles and one nats-server on this machine, and clients whose
 * sockets are all destroyed in one moment. What it must show: somebody new can log in soon, and soon the
 * directory shows none of those who left.
 *
 *     npm run bench -- departure [--clients 60000] [--workers 4] [--json FILE]
 */
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { connectClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { testNats } from "../support/nats.ts";
import { wholeNumberFromOne } from "../support/options.ts";
import { Ownership } from "../support/ownership.ts";
import { shownSeconds } from "./support/cpu.ts";
import { clientPort, cpuByRole, startForBench } from "./support/deployment.ts";
import { Load, shown } from "./support/load.ts";
import { MessageCounts } from "./support/message-counts.ts";
import { connectionsShown, onlineOf } from "./support/presence.ts";
import { keep, note, printSetting, progress, report, writeJson } from "./support/report.ts";
import { deviceNames, mint } from "./support/tokens.ts";

const TARGET = { loginSeconds: 5, presenceSeconds: 20 };
/** What a person who came then would see: one login after the other, each with a try each second. */
const TRY_TIMEOUT_MS = 5_000;
const WATCHED_SECONDS = 30;
/** After that presence is called wrong for good. */
const GIVE_UP_SECONDS = 180;

const options = new Command("departure")
  .option(
    "--clients <count>",
    "clients that vanish, 10,000 in a process",
    wholeNumberFromOne,
    60_000,
  )
  .option("--workers <count>", "access processes", wholeNumberFromOne, 4)
  .option("--json <file>", "writes what was counted")
  .parse()
  .opts<{ clients: number; workers: number; json?: string }>();
const { clients, workers, json } = options;

await using nats = await testNats();
await using deployment = await startForBench(nats, workers);
const { pushUrl, access } = deployment;
const url = access[0]?.wsUrl ?? "";
printSetting();

const devices = deviceNames("device", clients);
const comers = deviceNames("comer", GIVE_UP_SECONDS);
const comersTokens = await mint(nats.url, comers);
const tokens = await mint(nats.url, devices);
await using load = new Load({
  port: clientPort(deployment),
  tokens,
  behaviour: "impatient",
  inFlight: 64,
  seconds: 600,
});
const line = progress(10_000);
await eventually(
  "everybody is in",
  async () => {
    const counts = await load.counts();
    line(() => shown(counts));
    return counts.loggedIn === clients;
  },
  { withinMs: 600_000, everyMs: 250 },
);
await eventually("and routed", async () => (await connectionsShown(pushUrl)) === clients, {
  withinMs: 120_000,
  everyMs: 250,
});
await delay(5_000);

await using ownership = await Ownership.open([nats.url], deployment);
await using messages = await MessageCounts.open(nats.url);
const cpu = cpuByRole(deployment, nats, load.pids);
const leftAt = performance.now();
const since = () => (performance.now() - leftAt) / 1_000;
const watched = new AbortController();
const logins: { askedAt: number; took: number }[] = [];
const coming = comeOneByOne(watched.signal);
await load.vanish();
console.log(`${clients} clients have vanished`);
const shownOnline: { at: number; online: number | undefined }[] = [];
const gone = await presenceRight();
await delay(Math.max(0, WATCHED_SECONDS - since()) * 1_000);
watched.abort();
await coming;
const usedSeconds = cpu.since();

const firstIn = logins[0] === undefined ? undefined : logins[0].askedAt + logins[0].took;
const slowest = Math.max(...logins.map(({ took }) => took));
report(
  "a new login is welcomed after",
  firstIn === undefined ? "never" : `${firstIn.toFixed(2)} s`,
  firstIn !== undefined && firstIn <= TARGET.loginSeconds,
);
report(
  `the slowest of ${logins.length} logins, one each second`,
  `${slowest.toFixed(2)} s`,
  slowest <= TARGET.loginSeconds,
);
report(
  "nobody who left is shown online after",
  gone === undefined ? `never within ${GIVE_UP_SECONDS} s` : `${gone.toFixed(1)} s`,
  gone !== undefined && gone <= TARGET.presenceSeconds,
);
const { losses } = ownership;
report(
  "ownership",
  `${losses.lost} lost, ${losses.loadedAgain} loaded again, ${losses.moved} moved, ${losses.nodesDeclaredDead} nodes declared dead (once a partition)`,
  losses.lost + losses.loadedAgain + losses.moved === 0,
);
note("CPU", shownSeconds(usedSeconds));
await messages.report(`${clients} ends`, clients);
keep("options", options);
keep("logins", logins);
keep("shownOnline", shownOnline);
keep("losses", losses);
keep("cpuSeconds", usedSeconds);
writeJson(json, { nats: messages.serverVersion });

/** Seconds from the departure until the directory shows exactly those who came since. */
async function presenceRight(): Promise<number | undefined> {
  const line = progress(5_000);
  while (since() < GIVE_UP_SECONDS) {
    const online = await connectionsShown(pushUrl);
    shownOnline.push({ at: since(), online });
    line(() => `${online ?? "nobody knows how many"} shown online, ${logins.length} new logins`);
    // One of the new ones may be on its way.
    if (online !== undefined && online <= logins.length + 1) {
      if ((await onlineOf(pushUrl, devices)) === 0) return since();
    }
    await delay(250);
  }
  return undefined;
}

/** New devices, one at a time and at most one a second, each until it is welcomed. They stay. */
async function comeOneByOne(stop: AbortSignal): Promise<void> {
  for (const token of comersTokens) {
    const askedAt = since();
    while (!stop.aborted && !(await login(token))) await delay(200);
    if (stop.aborted) return;
    const took = since() - askedAt;
    logins.push({ askedAt, took });
    await delay(Math.max(0, 1 - took) * 1_000);
  }
}

async function login(token: string): Promise<boolean> {
  const attempt = async () => {
    const client = await connectClient({ url, encoding: "proto" });
    client.send({ login: { token } });
    await client.next("welcome").catch((error) => {
      client.abort();
      throw error;
    });
    return true;
  };
  return Promise.race([attempt().catch(() => false), delay(TRY_TIMEOUT_MS, false)]);
}
