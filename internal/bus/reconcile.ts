import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { buckets, type LayoutOptions, streams } from "../../streams/layout.ts";
import type { Deployment } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import { fixDeployment, readDeployment, requireConstants } from "./deployment.ts";
import { apiErrorCode, isNoRoom, JS, natsError } from "./nats-errors.ts";
import { bytesText } from "./store-room.ts";
import {
  bucketConfig,
  bucketStream,
  type Difference,
  differences,
  firstSequence,
  limitsOf,
  streamConfig,
  type WantedConfig,
} from "./stream-config.ts";

export interface Reconciled {
  /** What holds: as it was set up, whatever was wanted now. */
  deployment: Deployment;
  /** Names of the streams made. */
  created: string[];
  /** What was changed on streams that were there, as `<stream>: <field> <before> → <after>`. */
  changed: string[];
  /** Where copies or limits of existing streams are not as the deployment has them: left as they are. */
  differing: string[];
}

/**
 * Makes NATS agree with streams/layout.ts: creates what is missing, and mends what the gateway cannot do
 * without. How much is kept, how long and in how many copies is as the deployment was set up, and for
 * streams that are there as it is: only `changeLimits` changes that.
 * Safe to run again, and by several processes at once.
 * @throws HoldfastError `conflict` for existing streams that cannot be made to fit, all of them
 *   listed and nothing changed, and for a deployment with other constants; `unsupported` for more
 *   replicas than the server can have; `exhausted` when it has no room; `unavailable`, `timeout`.
 */
export async function reconcile(nc: NatsConnection, wanted: Deployment): Promise<Reconciled> {
  if (wanted.logStreams > wanted.partitions) {
    throw new HoldfastError(
      "invalid",
      `${wanted.logStreams} log streams for ${wanted.partitions} partitions: some would be empty`,
    );
  }
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const found = await readDeployment(nc);
  if (found !== undefined) requireConstants(wanted, found);
  // The record comes before the other streams: with other constants, they would be wrong.
  const first = await planFor(jsm, found ?? wanted);
  const meta = await apply(jsm, only(first, isMeta));
  const deployment = await fixDeployment(nc, wanted);
  // Another first start may have been quicker, with other limits.
  const made = found === undefined ? await planFor(jsm, deployment) : first;
  const rest = await apply(
    jsm,
    only(made, (config) => !isMeta(config)),
  );
  return {
    deployment,
    created: [...meta.created, ...rest.created],
    changed: [...meta.changed, ...rest.changed],
    differing: made.outdated.flatMap(({ differences }) => differences.filter(isLimit).map(shown)),
  };
}

/**
 * Gives the existing streams the copies and limits of this layout, those that shrink before those that
 * grow. Gives what was changed; with `dry`, what would be.
 * @throws HoldfastError `conflict` when a stream holds more than it may afterwards, and as `reconcile`.
 */
export async function changeLimits(
  nc: NatsConnection,
  wanted: LayoutOptions,
  { dry }: { dry: boolean },
): Promise<string[]> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const { outdated } = await planFor(jsm, wanted);
  const tooSmall = outdated.flatMap(({ wanted: { name, max_bytes }, usedBytes }) =>
    max_bytes > 0 && usedBytes > max_bytes
      ? [`  - ${name} holds ${bytesText(usedBytes)}, more than ${bytesText(max_bytes)}`]
      : [],
  );
  if (tooSmall.length > 0) {
    throw new HoldfastError(
      "conflict",
      `what is stored would be discarded:\n${tooSmall.join("\n")}`,
    );
  }
  const growth = ({ wanted: { max_bytes }, foundBytes }: Outdated) => max_bytes - foundBytes;
  const ordered = outdated.toSorted((a, b) => growth(a) - growth(b));
  if (!dry) for (const one of ordered) await update(jsm, one.wanted);
  return ordered.flatMap(({ differences }) => differences.map(shown));
}

function isMeta(config: WantedConfig): boolean {
  return config.name === bucketStream("hf_meta");
}

/** A stream to be made, and the sequence of its first message if that is not 1. */
type Missing = WantedConfig & { first_seq?: number };

interface Plan {
  missing: Missing[];
  outdated: Outdated[];
}

interface Outdated {
  wanted: WantedConfig;
  /** As the stream is, with what of `wanted` may be given to it at a start. */
  mended: WantedConfig;
  differences: Difference[];
  foundBytes: number;
  usedBytes: number;
}

async function planFor(jsm: JetStreamManager, options: LayoutOptions): Promise<Plan> {
  const wanted = [...buckets(options).map(bucketConfig), ...streams(options).map(streamConfig)];
  const made = await plan(jsm, wanted);
  const now = Date.now();
  for (const spec of streams(options)) {
    const first = firstSequence(spec, now);
    const missing = made.missing.find(({ name }) => name === spec.name);
    if (missing !== undefined && first !== undefined) missing.first_seq = first;
  }
  return made;
}

function only(made: Plan, which: (config: WantedConfig) => boolean): Plan {
  return {
    missing: made.missing.filter(which),
    outdated: made.outdated.filter(({ wanted }) => which(wanted)),
  };
}

async function plan(jsm: JetStreamManager, wanted: readonly WantedConfig[]): Promise<Plan> {
  const made: Plan = { missing: [], outdated: [] };
  for (const config of wanted) {
    const found = await info(jsm, config.name);
    if (found === undefined) {
      made.missing.push(config);
      continue;
    }
    const list = differences(config, found.config);
    if (list.length === 0) continue;
    made.outdated.push({
      wanted: config,
      mended: { ...config, ...limitsOf(found.config) },
      differences: list,
      foundBytes: found.config.max_bytes,
      usedBytes: found.state.bytes,
    });
  }
  const conflicts = made.outdated
    .flatMap((one) => one.differences)
    .filter(({ kind }) => kind === "fixed");
  if (conflicts.length > 0) throw conflictOf(conflicts);
  return made;
}

function conflictOf(conflicts: readonly Difference[]): HoldfastError {
  const lines = conflicts.map(
    ({ stream, field, wanted, found }) => `  - ${stream}: ${field} is ${found}, must be ${wanted}`,
  );
  return new HoldfastError(
    "conflict",
    `existing streams cannot be changed to what is needed:\n${lines.join("\n")}`,
  );
}

async function info(jsm: JetStreamManager, name: string) {
  try {
    return await jsm.streams.info(name);
  } catch (reason) {
    if (apiErrorCode(reason) === JS.streamNotFound) return undefined;
    throw natsError(`cannot read the configuration of ${name}`, reason);
  }
}

/** Creates what is missing, and mends what is not a limit. */
async function apply(
  jsm: JetStreamManager,
  made: Plan,
): Promise<Pick<Reconciled, "created" | "changed">> {
  const result = { created: [] as string[], changed: [] as string[] };
  for (const config of made.missing) {
    await create(jsm, config);
    result.created.push(config.name);
  }
  for (const { mended, differences } of made.outdated) {
    const own = differences.filter((one) => !isLimit(one));
    if (own.length === 0) continue;
    await update(jsm, mended);
    result.changed.push(...own.map(shown));
  }
  return result;
}

function isLimit({ kind }: Difference): boolean {
  return kind === "limit";
}

function shown({ stream, field, found, wanted }: Difference): string {
  return `${stream}: ${field} ${found} → ${wanted}`;
}

async function create(jsm: JetStreamManager, missing: Missing): Promise<void> {
  const { first_seq: _, ...config } = missing;
  try {
    // The server takes it as done when another process has created just this meanwhile.
    requireEcho(config, (await jsm.streams.add(missing)).config);
  } catch (reason) {
    if (isNoRoom(reason)) {
      const wants = bytesText(Math.max(0, config.max_bytes));
      throw new HoldfastError("exhausted", `no room in the store for ${config.name} of ${wants}`);
    }
    if (apiErrorCode(reason) !== JS.streamNameInUse) {
      throw natsError(`cannot create ${config.name}`, reason);
    }
    // It has, a second earlier or later: with another first sequence.
    const found = await info(jsm, config.name);
    if (found !== undefined) return requireEcho(config, found.config);
    // A cluster knows the name before the stream is there.
    throw new HoldfastError("unavailable", `${config.name} is being created by another process`);
  }
}

async function update(jsm: JetStreamManager, config: WantedConfig): Promise<void> {
  try {
    requireEcho(config, (await jsm.streams.update(config.name, config)).config);
  } catch (reason) {
    if (isNoRoom(reason)) {
      const wants = bytesText(config.max_bytes);
      throw new HoldfastError("exhausted", `no room in the store for ${wants} of ${config.name}`);
    }
    throw natsError(`cannot update ${config.name}`, reason);
  }
}

/** An older server ignores fields that it does not know. */
function requireEcho(wanted: WantedConfig, echoed: Parameters<typeof differences>[1]): void {
  const left = differences(wanted, echoed).filter((one) => !isLimit(one));
  if (left.length > 0) throw conflictOf(left);
}
