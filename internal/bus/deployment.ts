import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { BYTE_LIMITS, type ByteLimits, buckets, streams } from "../../streams/layout.ts";
import { type Deployment, decodeJson, encodeJson } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";
import { bucketStream } from "./stream-config.ts";

const STREAM = bucketStream("hf_meta");
const SUBJECT = "$KV.hf_meta.deployment";

/** What the first version wrote down. */
type StoredDeployment = Pick<Deployment, "partitions" | "logStreams"> & Partial<Deployment>;

/**
 * What this deployment was set up with, undefined before that.
 * @throws HoldfastError `unavailable` or `timeout` when JetStream does not answer.
 */
export async function readDeployment(nc: NatsConnection): Promise<Deployment | undefined> {
  return (await readRecord(nc))?.deployment;
}

export interface DeploymentRecord {
  deployment: Deployment;
  /** What a change replaces. */
  revision: number;
  /** Only a part of it was written down; the rest is how the streams are. */
  incomplete: boolean;
}

/** The record as the leader has it. */
export async function readRecord(nc: NatsConnection): Promise<DeploymentRecord | undefined> {
  try {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const message = await jsm.streams.getMessage(STREAM, { last_by_subj: SUBJECT });
    if (message === null) return undefined;
    const stored = decodeJson<StoredDeployment>(message.data);
    const revision = message.seq;
    const { replicas, logMaxBytes } = stored;
    if (replicas !== undefined && logMaxBytes !== undefined) {
      return { deployment: { ...stored, replicas, logMaxBytes }, revision, incomplete: false };
    }
    return { deployment: await asItIs(jsm, stored), revision, incomplete: true };
  } catch (reason) {
    if (apiErrorCode(reason) === JS.streamNotFound) return undefined;
    throw natsError("cannot read how the deployment was set up", reason);
  }
}

/**
 * Writes down what a deployment is set up with if nobody has, and gives what holds.
 * @throws HoldfastError `conflict` naming both numbers when it has other partitions or log streams.
 */
export async function fixDeployment(nc: NatsConnection, wanted: Deployment): Promise<Deployment> {
  const found = await readRecord(nc);
  const holds = found?.deployment ?? (await writeFirst(nc, wanted));
  requireConstants(wanted, holds);
  if (found?.incomplete === true) {
    // Another start that does the same at the same time writes the same.
    await writeDeployment(nc, holds, found.revision).catch((reason) => {
      if (HoldfastError.from(reason).code !== "conflict") throw reason;
    });
  }
  return holds;
}

/**
 * @throws HoldfastError `conflict` naming both numbers for other partitions or log streams: devices
 *   would move between logs.
 */
export function requireConstants(wanted: Deployment, found: Deployment): void {
  const mistakes = [
    differing("partitions", wanted.partitions, found.partitions),
    differing("log streams", wanted.logStreams, found.logStreams),
  ].filter((mistake) => mistake !== undefined);
  if (mistakes.length > 0) throw new HoldfastError("conflict", mistakes.join("; "));
}

/** @throws HoldfastError `conflict` when somebody has written it since `revision`. */
export async function writeDeployment(
  nc: NatsConnection,
  deployment: Deployment,
  revision: number,
): Promise<void> {
  try {
    const expect = { lastSubjectSequence: revision };
    await jetstream(nc).publish(SUBJECT, encodeJson(deployment), { expect });
  } catch (reason) {
    if (apiErrorCode(reason) === JS.wrongLastSequence) {
      throw new HoldfastError("conflict", "the deployment was changed by somebody else meanwhile");
    }
    throw natsError("cannot write how the deployment is set up", reason);
  }
}

/** What holds: `wanted`, unless somebody else has been quicker. */
async function writeFirst(nc: NatsConnection, wanted: Deployment): Promise<Deployment> {
  try {
    await writeDeployment(nc, wanted, 0);
    return wanted;
  } catch (reason) {
    if (HoldfastError.from(reason).code !== "conflict") throw reason;
    return (await readDeployment(nc)) ?? wanted;
  }
}

/** The copies and limits that the streams of a deployment have, for a record that does not say. */
async function asItIs(jsm: JetStreamManager, stored: StoredDeployment): Promise<Deployment> {
  const { num_replicas: replicas } = (await jsm.streams.info(STREAM)).config;
  const deployment: Deployment = { replicas, logMaxBytes: UNBOUNDED, ...stored };
  for (const limit of BYTE_LIMITS) {
    const found = await configuredBytes(jsm, streamOf(limit, deployment));
    if (found !== undefined && found > 0) deployment[limit] = found;
  }
  return deployment;
}

const UNBOUNDED = -1;

/** The stream whose size this limit bounds: found by giving the limit to the layout and looking where it lands. */
function streamOf(limit: keyof ByteLimits, deployment: Deployment): string {
  const { partitions, logStreams, replicas } = deployment;
  const none = { partitions, logStreams, replicas, logMaxBytes: UNBOUNDED };
  const marked = { ...none, [limit]: Number.MAX_SAFE_INTEGER };
  const stream = streams(marked).find(({ maxBytes }) => maxBytes > 0)?.name;
  const bucket = buckets(marked).find(({ maxBytes }) => maxBytes > 0)?.name;
  return stream ?? bucketStream(bucket ?? "hf_meta");
}

async function configuredBytes(jsm: JetStreamManager, stream: string): Promise<number | undefined> {
  try {
    return (await jsm.streams.info(stream)).config.max_bytes;
  } catch (reason) {
    if (apiErrorCode(reason) === JS.streamNotFound) return undefined;
    throw reason;
  }
}

function differing(what: string, wanted: number, found: number): string | undefined {
  if (wanted === found) return undefined;
  return `this deployment was set up with ${found} ${what} and cannot be run with ${wanted}, because devices would move between logs`;
}
