import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { buckets, type LayoutOptions, streams } from "../../streams/layout.ts";
import { HoldfastError } from "../status/errors.ts";
import { fixDeployment } from "./deployment.ts";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";
import {
  bucketConfig,
  bucketStream,
  type Difference,
  differences,
  firstSequence,
  streamConfig,
  type WantedConfig,
} from "./stream-config.ts";

export interface Reconciled {
  /** Names of the streams made. */
  created: string[];
  /** What was changed on streams that were there, as `<stream>: <field> <before> → <after>`. */
  changed: string[];
}

/**
 * Makes NATS agree with streams/layout.ts: creates what is missing, updates what can be updated.
 * Safe to run again, and by several processes at once.
 * @throws HoldfastError `conflict` for existing streams that cannot be made to fit, all of them
 *   listed and nothing changed, and for a deployment with other constants; `unsupported` for more
 *   replicas than the server can have; `exhausted` when it has no room; `unavailable`, `timeout`.
 */
export async function reconcile(nc: NatsConnection, options: LayoutOptions): Promise<Reconciled> {
  if (options.logStreams > options.partitions) {
    throw new HoldfastError(
      "invalid",
      `${options.logStreams} log streams for ${options.partitions} partitions: some would be empty`,
    );
  }
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const wanted = [...buckets(options).map(bucketConfig), ...streams(options).map(streamConfig)];
  const made = await plan(jsm, wanted);
  const now = Date.now();
  for (const spec of streams(options)) {
    const first = firstSequence(spec, now);
    const missing = made.missing.find(({ name }) => name === spec.name);
    if (missing !== undefined && first !== undefined) missing.first_seq = first;
  }
  // The deployment's constants come first: with others, the streams would be wrong.
  const meta = await apply(jsm, only(made, isMeta));
  const { partitions, logStreams } = options;
  await fixDeployment(nc, { partitions, logStreams });
  const rest = await apply(
    jsm,
    only(made, (config) => !isMeta(config)),
  );
  return {
    created: [...meta.created, ...rest.created],
    changed: [...meta.changed, ...rest.changed],
  };
}

function isMeta(config: WantedConfig): boolean {
  return config.name === bucketStream("hf_meta");
}

/** A stream to be made, and the sequence of its first message if that is not 1. */
type Missing = WantedConfig & { first_seq?: number };

interface Plan {
  missing: Missing[];
  outdated: { wanted: WantedConfig; differences: Difference[] }[];
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
    const list = differences(config, found);
    if (list.length > 0) made.outdated.push({ wanted: config, differences: list });
  }
  const conflicts = made.outdated.flatMap((one) => one.differences).filter(({ fixed }) => fixed);
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
    return (await jsm.streams.info(name)).config;
  } catch (reason) {
    if (apiErrorCode(reason) === JS.streamNotFound) return undefined;
    throw natsError(`cannot read the configuration of ${name}`, reason);
  }
}

async function apply(jsm: JetStreamManager, made: Plan): Promise<Reconciled> {
  const result: Reconciled = { created: [], changed: [] };
  for (const config of made.missing) {
    await create(jsm, config);
    result.created.push(config.name);
  }
  for (const { wanted, differences } of made.outdated) {
    await update(jsm, wanted);
    for (const { stream, field, found, wanted: value } of differences) {
      result.changed.push(`${stream}: ${field} ${found} → ${value}`);
    }
  }
  return result;
}

async function create(jsm: JetStreamManager, missing: Missing): Promise<void> {
  const { first_seq: _, ...config } = missing;
  try {
    // The server takes it as done when another process has created just this meanwhile.
    requireEcho(config, (await jsm.streams.add(missing)).config);
  } catch (reason) {
    if (apiErrorCode(reason) !== JS.streamNameInUse) {
      throw natsError(`cannot create ${config.name}`, reason);
    }
    // It has, a second earlier or later: with another first sequence.
    const found = await info(jsm, config.name);
    if (found !== undefined) return requireEcho(config, found);
    // A cluster knows the name before the stream is there.
    throw new HoldfastError("unavailable", `${config.name} is being created by another process`);
  }
}

async function update(jsm: JetStreamManager, config: WantedConfig): Promise<void> {
  try {
    requireEcho(config, (await jsm.streams.update(config.name, config)).config);
  } catch (reason) {
    throw natsError(`cannot update ${config.name}`, reason);
  }
}

/** An older server ignores fields that it does not know. */
function requireEcho(wanted: WantedConfig, echoed: Parameters<typeof differences>[1]): void {
  const left = differences(wanted, echoed);
  if (left.length > 0) throw conflictOf(left);
}
