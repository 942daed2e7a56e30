import type { JetStreamManager } from "@nats-io/jetstream";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";

/**
 * When the stream's leader stored what stands at this sequence, Unix ms; undefined if nothing does.
 * @throws HoldfastError when nobody answers.
 */
export async function storedAt(
  jsm: JetStreamManager,
  stream: string,
  sequence: number,
): Promise<number | undefined> {
  try {
    const found = await jsm.streams.getMessage(stream, { seq: sequence });
    return found === null ? undefined : Date.parse(found.timestamp);
  } catch (reason) {
    if (isNotThere(apiErrorCode(reason))) return undefined;
    throw natsError(`cannot read message ${sequence} of ${stream}`, reason);
  }
}

/** Its time was over, it was deleted, or it was never there. */
export function isNotThere(code: number | undefined): boolean {
  return code === JS.sequenceNotFound || code === JS.noMessageFound;
}
