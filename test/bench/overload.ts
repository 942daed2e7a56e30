/**
 * Everybody comes at once: separate roles and one nats-server on this machine, and clients that connect as
 * fast as they can and try again at once whatever they are told. What it must show: logins go on, and
 * no partition changes its owner.
 *
 * With --patient the clients are like the SDK's: pauses that grow, with jitter, and never before the time that they were told.
 * Their rate is compared with that of clients of which few come at a time, measured before.
 *
 *     npm run bench -- overload [--workers 12] [--clients 120000] [--seconds 160] [--patient] [--json FILE]
 */
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { eventually } from "../support/eventually.ts";
import { testNats } from "../support/nats.ts";
import { wholeNumberFromOne } from "../support/options.ts";
import { Ownership } from "../support/ownership.ts";
import { shownSeconds } from "./support/cpu.ts";
import { clientPort, cpuByRole, startForBench } from "./support/deployment.ts";
import { Load, shown } from "./support/load.ts";
import type { LoadCounts } from "./support/load-process.ts";
import { MessageCounts } from "./support/message-counts.ts";
import { connectionsShown } from "./support/presence.ts";
import { keep, note, printSetting, progress, report, writeJson } from "./support/report.ts";
import { deviceNames, mint } from "./support/tokens.ts";

/** Of 120,000 clients 70,000 after 160 s; of fewer or in less time, that share. */
const TARGET = { perSecond: 70_000 / 160, share: 70_000 / 120_000, longestGapSeconds: 15 };
const PATIENT_SHARE = 0.85;
/** The time in which most of the patient are in is their measure: the last ones wait for their pauses. */
const MOST = 0.9;

const options = new Command("overload")
  .option("--workers <count>", "access processes", wholeNumberFromOne, 12)
  .option("--clients <count>", "clients, 10,000 in a process", wholeNumberFromOne, 120_000)
  .option("--seconds <count>", "how long they come", wholeNumberFromOne, 160)
  .option("--in-flight <count>", "attempts of impatient clients at once", wholeNumberFromOne, 2_400)
  .option("--patient", "clients like the SDK's, compared with an undisturbed rate")
  .option("--undisturbed <count>", "clients of the undisturbed rate", wholeNumberFromOne, 10_000)
  .option("--json <file>", "writes what was counted")
  .parse()
  .opts<{
    workers: number;
    clients: number;
    seconds: number;
    inFlight: number;
    patient?: true;
    undisturbed: number;
    json?: string;
  }>();
const { workers, clients, seconds, inFlight, patient = false, undisturbed, json } = options;

await using nats = await testNats();
await using deployment = await startForBench(nats, workers);
const port = clientPort(deployment);
printSetting();

const quietRate = patient ? await undisturbedRate() : undefined;

console.log(`signing ${clients} tokens`);
const tokens = await mint(nats.url, deviceNames("device", clients));
await using messages = await MessageCounts.open(nats.url);
await using ownership = await Ownership.open([nats.url], deployment);
const behaviour = patient ? "patient" : "impatient";
await using load = new Load({
  port,
  tokens,
  behaviour,
  seconds,
  inFlight: patient ? clients : inFlight,
});
const cpu = cpuByRole(deployment, nats, load.pids);

const { samples, last } = await follow(load, clients, seconds);
await load.rest();
const usedSeconds = cpu.since();
// What the log was told of last is routed in its turn.
const routed = await routedAfter(last.loggedIn);

const took = ((samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)) / 1_000;
if (quietRate === undefined) {
  const wanted = Math.min(
    Math.floor(TARGET.perSecond * seconds),
    Math.floor(TARGET.share * clients),
  );
  report(
    `in after ${took.toFixed(0)} s`,
    `${last.loggedIn} of ${clients}, wanted ${wanted}`,
    last.loggedIn >= wanted,
  );
} else {
  const rate = rateToMost(samples, clients);
  const share = rate / quietRate;
  report(
    `patient clients' logins, until ${MOST * 100}% are in`,
    `${rate.toFixed(0)}/s, ${(share * 100).toFixed(0)}% of the undisturbed ${quietRate.toFixed(0)}/s`,
    share >= PATIENT_SHARE,
  );
}
const gap = longestGapSeconds(samples, clients);
report("longest time without progress", `${gap.toFixed(0)} s`, gap < TARGET.longestGapSeconds);
const { losses } = ownership;
report(
  "ownership",
  `${losses.lost} lost, ${losses.loadedAgain} loaded again, ${losses.moved} moved, ${losses.nodesDeclaredDead} nodes declared dead (once a partition)`,
  losses.lost + losses.loadedAgain + losses.moved === 0,
);
note("all of them routed", routed);
note("refusals and losses", JSON.stringify(last.reasons));
note("CPU", shownSeconds(usedSeconds));
await messages.report(`${last.welcomes} logins`, Math.max(1, last.welcomes));
keep("options", options);
keep("samples", samples);
keep("losses", losses);
keep("cpuSeconds", usedSeconds);
writeJson(json, { nats: messages.serverVersion });

/** Few at a time: what the gateway can do when nobody presses. */
async function undisturbedRate(): Promise<number> {
  const quietTokens = await mint(nats.url, deviceNames("quiet", undisturbed));
  await using few = new Load({
    port,
    tokens: quietTokens,
    behaviour: "impatient",
    seconds,
    inFlight: 64,
  });
  const { samples } = await follow(few, undisturbed, seconds);
  const rate = rateToMost(samples, undisturbed);
  note(`undisturbed: ${undisturbed} clients, 64 at a time`, `${rate.toFixed(0)}/s`);
  await few.vanish();
  await eventually(
    "they are gone",
    async () => (await connectionsShown(deployment.pushUrl)) === 0,
    {
      withinMs: 120_000,
      everyMs: 250,
    },
  );
  return rate;
}

/** Counts once a second until all are in or the time is over. */
async function follow(load: Load, wanted: number, seconds: number) {
  const samples: LoadCounts[] = [await load.counts()];
  const line = progress(10_000);
  const began = performance.now();
  for (let second = 1; second <= seconds; second += 1) {
    await delay(Math.max(0, began + second * 1_000 - performance.now()));
    const counts = await load.counts();
    samples.push(counts);
    line(() => shown(counts));
    if (counts.loggedIn >= wanted) break;
  }
  const last = samples.at(-1) as LoadCounts;
  return { samples, last };
}

/** Logins a second from the start until most are in, or until the end if they never are. */
function rateToMost(samples: readonly LoadCounts[], wanted: number): number {
  const [first] = samples;
  const reached = samples.find(({ loggedIn }) => loggedIn >= MOST * wanted) ?? samples.at(-1);
  if (first === undefined || reached === undefined) return 0;
  return (reached.loggedIn / Math.max(1, reached.atMs - first.atMs)) * 1_000;
}

/** The longest time in which no more were in than ever before, while somebody was out. */
function longestGapSeconds(samples: readonly LoadCounts[], wanted: number): number {
  let most = 0;
  let since = samples[0]?.atMs ?? 0;
  let longest = 0;
  for (const { atMs, loggedIn } of samples) {
    longest = Math.max(longest, atMs - since);
    if (loggedIn <= most && loggedIn < wanted) continue;
    most = loggedIn;
    since = atMs;
  }
  return longest / 1_000;
}

async function routedAfter(wanted: number): Promise<string> {
  const began = performance.now();
  const patienceMs = 60_000;
  for (;;) {
    const shown = await connectionsShown(deployment.pushUrl);
    const { loggedIn } = await load.counts();
    const seconds = (performance.now() - began) / 1_000;
    if (shown === loggedIn) return `${loggedIn} after ${seconds.toFixed(1)} s`;
    if (performance.now() - began > patienceMs) {
      return `never within ${seconds.toFixed(0)} s: ${shown} shown, ${loggedIn} of ${wanted} in`;
    }
    await delay(250);
  }
}
