import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { type Deployment, decodeJson, encodeJson } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";
import { bucketStream } from "./stream-config.ts";

const STREAM = bucketStream("hf_meta");
const SUBJECT = "$KV.hf_meta.deployment";

/**
 * The constants this deployment was set up with, undefined before that.
 * @throws HoldfastError `unavailable` or `timeout` when JetStream does not answer.
 */
export async function readDeployment(nc: NatsConnection): Promise<Deployment | undefined> {
  try {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const message = await jsm.streams.getMessage(STREAM, { last_by_subj: SUBJECT });
    return message ? decodeJson<Deployment>(message.data) : undefined;
  } catch (reason) {
    if (apiErrorCode(reason) === JS.streamNotFound) return undefined;
    throw natsError("cannot read the deployment's constants", reason);
  }
}

/**
 * Writes the constants if nobody has, else checks that they are these.
 * @throws HoldfastError `conflict` naming both numbers when they are others.
 */
export async function fixDeployment(nc: NatsConnection, wanted: Deployment): Promise<void> {
  const found = (await readDeployment(nc)) ?? (await writeFirst(nc, wanted));
  const mistakes = [
    differing("partitions", wanted.partitions, found.partitions),
    differing("log streams", wanted.logStreams, found.logStreams),
  ].filter((mistake) => mistake !== undefined);
  if (mistakes.length > 0) throw new HoldfastError("conflict", mistakes.join("; "));
}

/** The constants that hold: `wanted`, unless somebody else has been quicker. */
async function writeFirst(nc: NatsConnection, wanted: Deployment): Promise<Deployment> {
  try {
    const expect = { lastSubjectSequence: 0 };
    await jetstream(nc).publish(SUBJECT, encodeJson(wanted), { expect });
    return wanted;
  } catch (reason) {
    if (apiErrorCode(reason) !== JS.wrongLastSequence) {
      throw natsError("cannot write the deployment's constants", reason);
    }
    return (await readDeployment(nc)) ?? wanted;
  }
}

function differing(what: string, wanted: number, found: number): string | undefined {
  if (wanted === found) return undefined;
  return `this deployment was set up with ${found} ${what} and cannot be run with ${wanted}, because devices would move between logs`;
}
