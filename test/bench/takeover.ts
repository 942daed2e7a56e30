/**
 * The owner of a large set of partitions is killed: many devices known, some of them online, on a node
 * that has no sockets but says to the log what a real one would. What it must show: another projector serves soon, exactly,
 * with what happened meanwhile, and its event loop never stands still for long.
 *
 * Two projectors share the partitions, and one of them is killed. With --alone there is one that has all of
 * them, and the other is started when that is killed; the start counts.
 *
 *     npm run bench -- takeover [--known 1000000] [--online 100000] [--alone] [--json FILE]
 */
import { setTimeout as delay } from "node:timers/promises";
import { Command } from "commander";
import { partitionOf } from "../../streams/partition.ts";
import type { ShownDevice } from "../support/api.ts";
import { startDeployment } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { call } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { wholeNumberFromOne } from "../support/options.ts";
import { ownersOf } from "../support/ownership.ts";
import { Child } from "./support/child.ts";
import { CpuOf, residentBytes, shownSeconds } from "./support/cpu.ts";
import type { FakeNode } from "./support/fake-node.ts";
import { LoopLag } from "./support/loop-lag.ts";
import { MessageCounts } from "./support/message-counts.ts";
import { connectionsShown } from "./support/presence.ts";
import { keep, note, printSetting, progress, report, writeJson } from "./support/report.ts";

const TARGET = { seconds: 15, blockedMs: 100 };
const PARTITIONS = 16;
/** In each partition: devices that stay online, stay offline, go and come. */
const SAMPLES = 4;
const AT_ONCE = 20_000;
const GIVE_UP_SECONDS = 300;
/** What a new owner does when it serves already counts against its loop as well. */
const WATCHED_AFTER_MS = 10_000;

const options = new Command("takeover")
  .option("--known <count>", "devices known, online or not", wholeNumberFromOne, 1_000_000)
  .option("--online <count>", "devices online", wholeNumberFromOne, 100_000)
  .option("--alone", "the killed projector owned every partition, and the other starts then")
  .option("--settle <seconds>", "between the last login and the kill", wholeNumberFromOne, 20)
  .option("--json <file>", "writes what was counted")
  .parse()
  .opts<{ known: number; online: number; alone?: true; settle: number; json?: string }>();
const { known, online, alone = false, settle, json } = options;

await using nats = await testNats();
await using deployment = await startDeployment({
  natsUrls: [nats.url],
  // Without one, control is never ready. It stays empty.
  access: 1,
  projectors: 2,
  env: { HOLDFAST_PARTITIONS: String(PARTITIONS) },
});
const { pushUrl, projectors } = deployment;
const [victim, survivor] = projectors;
if (victim === undefined || survivor === undefined) throw new Error("two projectors are needed");
await using node = new Child<FakeNode>("./fake-node.ts");
await using messages = await MessageCounts.open(nats.url);
printSetting();

const device = (index: number) => `device-${index}`;
const line = progress(5_000);
// Nobody owns the routes while they are written.
for (const projector of projectors) await projector.process.stop();
await node.ask("start", { natsUrl: nats.url, partitions: PARTITIONS });
await inParts(online, known, "known", (devices) => node.ask("known", { devices }));
await victim.start();
await served("the first projector serves");
if (!alone) await survivor.start();
await inParts(0, online, "online", (devices) => node.ask("open", { devices }));
await eventually(
  "all of them are routed",
  async () => {
    const shown = await connectionsShown(pushUrl);
    line(() => `${shown ?? "nobody knows how many"} of ${online} shown online`);
    return shown === online;
  },
  { withinMs: 600_000, everyMs: 500 },
);
await eventually(
  "the partitions are shared",
  async () => new Set((await ownersOf(nats.url)).values()).size === (alone ? 1 : 2),
  { withinMs: 120_000, everyMs: 500 },
);
await delay(settle * 1_000);

const samples = chooseSamples();
const before = await ownersOf(nats.url);
const sizes = {
  victim: residentBytes(victim.process.child.pid ?? 0),
  survivor: alone ? 0 : residentBytes(survivor.process.child.pid ?? 0),
};
let lag = alone ? undefined : new LoopLag(survivor, "projector");
await delay(1_000);
await victim.kill();
const killedAt = performance.now();
const since = () => (performance.now() - killedAt) / 1_000;
if (alone) {
  await survivor.start();
  lag = new LoopLag(survivor, "projector");
}
const cpu = new CpuOf({
  projector: [survivor.process.child.pid ?? 0],
  nats: nats.pid ? [nats.pid] : [],
});
console.log(`${victim.name} was killed`);
// The bucket knows nothing of these: only a new owner can.
await node.ask("close", { devices: samples.going });
await node.ask("open", { devices: samples.coming });
const all = [...samples.staying, ...samples.coming, ...samples.going, ...samples.away];
const { connectionIds } = await node.ask("connectionIds", { devices: all });
const expected = all.map((name, index) => ({ name, connectionId: connectionIds[index] ?? "" }));

const servedAfter = await exactAfter();
await delay(WATCHED_AFTER_MS);
await lag?.[Symbol.asyncDispose]();
const after = await ownersOf(nats.url);
const moved = [...after].filter(([partition, owner]) => before.get(partition) !== owner).length;
const blockedMs = lag?.worstMs ?? Number.POSITIVE_INFINITY;

report(
  `serving again, ${known} devices known and ${online} online in ${PARTITIONS} partitions, ${moved} of them taken over`,
  servedAfter === undefined ? `never within ${GIVE_UP_SECONDS} s` : `${servedAfter.toFixed(1)} s`,
  servedAfter !== undefined && servedAfter <= TARGET.seconds,
);
report(
  "the longest that the new owner's event loop stood still",
  `${blockedMs.toFixed(0)} ms`,
  blockedMs <= TARGET.blockedMs,
);
const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const rss = residentBytes(survivor.process.child.pid ?? 0);
note("resident memory of the new owner", `${mib(sizes.survivor)} before, ${mib(rss)} after`);
note("resident memory of the killed one", mib(sizes.victim));
const usedSeconds = cpu.since();
note("CPU since the kill", shownSeconds(usedSeconds));
keep("options", options);
keep("cpuSeconds", usedSeconds);
keep("residentBytes", { ...sizes, after: rss });
writeJson(json, { nats: messages.serverVersion });

async function inParts(
  from: number,
  to: number,
  what: string,
  act: (devices: string[]) => Promise<unknown>,
): Promise<void> {
  for (let at = from; at < to; at += AT_ONCE) {
    const size = Math.min(AT_ONCE, to - at);
    await act(Array.from({ length: size }, (_, index) => device(at + index)));
    line(() => `${at + size} of ${to} ${what}`);
  }
}

async function served(what: string): Promise<void> {
  const answered = async () => (await connectionsShown(pushUrl)) !== undefined;
  await eventually(what, answered, { withinMs: 300_000, everyMs: 250 });
}

/** A few of each partition. */
function chooseSamples() {
  const perPartition = new Map<string, number>();
  const take = (kind: string, index: number, into: string[]): boolean => {
    const partition = partitionOf("demo", device(index), PARTITIONS);
    const key = `${kind} ${partition}`;
    const taken = perPartition.get(key) ?? 0;
    if (taken >= SAMPLES) return false;
    perPartition.set(key, taken + 1);
    into.push(device(index));
    return true;
  };
  const chosen = { staying: [], going: [], coming: [], away: [] } as Record<
    "staying" | "going" | "coming" | "away",
    string[]
  >;
  for (let index = 0; index < online; index += 1) {
    if (!take("going", index, chosen.going)) take("staying", index, chosen.staying);
  }
  for (let index = online; index < known; index += 1) {
    if (!take("coming", index, chosen.coming)) take("away", index, chosen.away);
  }
  return chosen;
}

/** Seconds from the kill until GetDevices is right about every sample; undefined: never. */
async function exactAfter(): Promise<number | undefined> {
  const method = "holdfast.directory.v1.DirectoryService/GetDevices";
  const devices = expected.map(({ name }) => name);
  const line = progress(5_000);
  while (since() < GIVE_UP_SECONDS) {
    const answer = await call<{ devices: ShownDevice[] }>(pushUrl, method, {
      app: "demo",
      devices,
    }).catch(() => undefined);
    const wrong = answer?.devices.filter((shown, index) => !isRight(shown, expected[index]));
    if (wrong?.length === 0) return since();
    line(() => `${wrong?.length ?? "nobody knows how many"} of ${devices.length} samples wrong`);
    await delay(100);
  }
  return undefined;
}

function isRight(
  shown: ShownDevice,
  is: { name: string; connectionId: string } | undefined,
): boolean {
  if (shown.device !== is?.name || shown.known !== true) return false;
  const { online = false, connectionId = "" } = shown;
  return is.connectionId === "" ? !online : online && connectionId === is.connectionId;
}
