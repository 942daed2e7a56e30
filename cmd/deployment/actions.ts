import { type Connection, connect } from "../../internal/bus/connect.ts";
import { readRecord, writeDeployment } from "../../internal/bus/deployment.ts";
import { changeLimits } from "../../internal/bus/reconcile.ts";
import { bytesText } from "../../internal/bus/store-room.ts";
import { loadConfig } from "../../internal/config/load.ts";
import { envName } from "../../internal/config/options.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { BYTE_LIMITS, boundedBytes, limitsWithin } from "../../streams/layout.ts";
import type { Deployment } from "../../streams/records.ts";
import { natsAccess } from "../nats-access.ts";
import type { Changes, Target } from "./command.ts";

/** How long a NATS that is away is waited for. */
const PATIENCE_MS = 10_000;

export async function showDeployment(flags: Target): Promise<void> {
  await using connection = await open(flags);
  const { deployment } = await recordOf(connection);
  const differing = await changeLimits(connection.nc, deployment, { dry: true });
  if (flags.json) {
    print({ deployment, differing });
    return;
  }
  console.log(describe(deployment).join("\n"));
  if (differing.length === 0) return;
  console.log(["the streams are not so:", ...differing.map((line) => `  ${line}`)].join("\n"));
  console.log("holdfast deployment set --yes makes them so");
}

export async function setDeployment(flags: Target & Changes): Promise<void> {
  await using connection = await open(flags);
  const { deployment: before, revision } = await recordOf(connection);
  const deployment = changed(before, flags);
  const dry = flags.yes !== true;
  const streams = await changeLimits(connection.nc, deployment, { dry });
  // Last: what a server refuses is not written down.
  if (!dry) await writeDeployment(connection.nc, deployment, revision);
  if (flags.json) {
    print({ done: !dry, deployment, changed: streams });
    return;
  }
  console.log(describe(deployment).join("\n"));
  const heading = dry ? "would change:" : "changed:";
  const lines = streams.length === 0 ? ["  nothing"] : streams.map((line) => `  ${line}`);
  console.log([heading, ...lines].join("\n"));
  if (dry) console.log("nothing is done yet; --yes does it");
}

function changed(before: Deployment, flags: Changes): Deployment {
  const { replicas = before.replicas, storeMaxBytes } = flags;
  const after = { ...before, replicas };
  if (storeMaxBytes !== undefined) {
    Object.assign(after, limitsWithin(storeMaxBytes, before.logStreams), { storeMaxBytes });
  }
  for (const limit of BYTE_LIMITS) {
    const bytes = flags[limit];
    if (bytes !== undefined) after[limit] = bytes;
  }
  return after;
}

async function recordOf({ nc }: Connection) {
  const record = await readRecord(nc);
  if (record === undefined) {
    throw new HoldfastError("not-found", "nothing is set up there: the first start of a role does");
  }
  return record;
}

async function open({ natsUrl, natsCreds }: Target): Promise<Connection> {
  const names = ["natsUser", "natsPassword", "dataDir"] as const;
  const env = Object.fromEntries(
    names.map((name) => [envName(name), process.env[envName(name)]] as const),
  );
  const config = loadConfig({ flags: { natsUrl, natsCreds }, env });
  return connect({
    ...(await natsAccess(config, config.natsUrl ?? [])),
    name: "holdfast deployment",
    signal: AbortSignal.timeout(PATIENCE_MS),
    events: {
      waiting: (why) => console.error(`holdfast: waiting for NATS: ${why.message}`),
      fault: (error) => console.error(`holdfast: ${error.message}`),
    },
  });
}

function describe(deployment: Deployment): string[] {
  const { partitions, logStreams, replicas, storeMaxBytes } = deployment;
  const line = (name: string, value: string | number) => `${name.padEnd(16)} ${value}`;
  const limits = BYTE_LIMITS.map((limit) => {
    const bytes = deployment[limit] ?? -1;
    return line(limit, bytes < 0 ? "no bound" : `${bytes} (${bytesText(bytes)})`);
  });
  return [
    line("partitions", `${partitions} (fixed)`),
    line("logStreams", `${logStreams} (fixed)`),
    line("replicas", replicas),
    ...(storeMaxBytes === undefined ? [] : [line("storeMaxBytes", storeMaxBytes)]),
    ...limits,
    line("in all", `${bytesText(boundedBytes(deployment))} of each server`),
  ];
}

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}
