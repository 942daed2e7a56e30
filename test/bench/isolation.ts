/**
 * What a business that hangs does to the others. Three echo servers, one of each kind of uplink
 * handling, in processes of their own. Two of them are sent uplinks at an even pace; the third is
 * frozen (SIGSTOP) and flooded from other connections. The times are those from the sending to the
 * answer at the client: the acknowledgement of a stored uplink, the reply of the other two kinds.
 *
 * "before": all three answer, at the same pace. Rounds before and with the hanging one alternate, and
 * the median of their p99s counts: on a small machine one round is no measure.
 *
 *     npm run bench -- isolation [rounds]
 */
import { setTimeout as sleep } from "node:timers/promises";
import { admit } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";
import { Child } from "./support/child.ts";
import { startForBench } from "./support/deployment.ts";
import { median, printSetting, report } from "./support/report.ts";
import type { UplinkEcho } from "./support/uplink-echo.ts";
import type { UplinkLoad } from "./support/uplink-load.ts";

const MOST_TIMES = 1.5;
const MODES = ["stream", "request", "rpc"] as const;
const CONNECTIONS = 100;
const PACE = 500;
const FLOOD = 2_000;
/** Not measured: what runs is compiled. */
const WARM_UP_SECONDS = 8;
const ROUND_SECONDS = 3;
/** Not measured either: connections that were idle open again. */
const LEAD_SECONDS = 1;
/** The breaker of a business that hung lets calls through again after that. */
const RECOVERY_MS = 6_000;
const rounds = Number(process.argv[2] ?? 5);

type Mode = (typeof MODES)[number];

await using nats = await testNats();
await using deployment = await startForBench(nats);
await using servers = new AsyncDisposableStack();
printSetting();

const address = await deployment.access[0]?.process.address("access", "tcp");
const port = Number(new URL(address ?? "").port);
const echoes = new Map<Mode, Child<UplinkEcho>>();
const loaders = new Map<Mode, Child<UplinkLoad>>();
for (const mode of MODES) {
  const echo = servers.use(new Child<UplinkEcho>("./uplink-echo.ts"));
  const at = { natsUrl: nats.url, pushUrl: deployment.pushUrl };
  // The usual bounds: they are what keeps a business that hangs from holding all there is.
  await echo.ask("serve", {
    business: mode,
    mode,
    ...at,
    bounds: { concurrency: 256, queue: 1_024 },
  });
  echoes.set(mode, echo);
  const loader = servers.use(new Child<UplinkLoad>("./uplink-load.ts"));
  await loader.ask("open", { port, tokens: await tokensFor(mode) });
  loaders.set(mode, loader);
}
await Promise.all(MODES.map((mode) => send(mode, PACE, WARM_UP_SECONDS)));

for (const victim of MODES) {
  const others = MODES.filter((mode) => mode !== victim);
  const p99s = new Map(
    others.map((mode) => [mode, { before: [] as number[], hung: [] as number[] }]),
  );
  const round = async (kind: "before" | "hung") => {
    const rate = kind === "before" ? PACE : FLOOD;
    const flood = send(victim, rate, LEAD_SECONDS + ROUND_SECONDS);
    await Promise.all(
      others.map(async (mode) => {
        await send(mode, PACE, LEAD_SECONDS);
        const { p99Ms } = await send(mode, PACE, ROUND_SECONDS);
        p99s.get(mode)?.[kind].push(p99Ms);
      }),
    );
    await flood;
  };
  for (let i = 0; i < rounds; i += 1) {
    await round("before");
    echoes.get(victim)?.signal("SIGSTOP");
    await round("hung");
    echoes.get(victim)?.signal("SIGCONT");
    await sleep(RECOVERY_MS);
  }
  for (const [mode, { before, hung }] of p99s) {
    const times = median(hung) / median(before);
    report(
      `${victim} hangs: p99 of ${mode}`,
      `${median(before).toFixed(2)} ms before, ${median(hung).toFixed(2)} ms now, ${times.toFixed(2)} times`,
      times <= MOST_TIMES,
    );
  }
}

async function tokensFor(mode: Mode): Promise<string[]> {
  const tokens: string[] = [];
  for (let i = 0; i < CONNECTIONS; i += 1) {
    tokens.push((await admit(deployment.controlUrl, `${mode}-${i}`)).token);
  }
  return tokens;
}

function send(mode: Mode, rate: number, seconds: number): Promise<UplinkLoad["send"]["answer"]> {
  const loader = loaders.get(mode);
  if (loader === undefined) throw new Error(`no clients for ${mode}`);
  return loader.ask("send", { business: mode, rate, seconds, wantReply: mode !== "stream" });
}
