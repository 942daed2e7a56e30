import { BUSINESS_UPLINK_SHARE, UPLINK_STREAM } from "../../streams/layout.ts";
import type { Business } from "../../streams/records.ts";
import type { StreamState, Streams } from "../bus/contract.ts";

const SAMPLES = 8;
/** What the store adds to a payload: sequence, time, checksum, subject. */
const OVERHEAD_BYTES = 64;

/** How many bytes of uplinks may wait for a business. */
export function uplinkLimit(
  { maxStoredBytes }: Pick<Business, "maxStoredBytes">,
  { maxBytes }: Pick<StreamState, "maxBytes">,
): number {
  // Records of before that field was there have none.
  if ((maxStoredBytes ?? 0) > 0) return maxStoredBytes;
  return maxBytes > 0 ? maxBytes * BUSINESS_UPLINK_SHARE : Number.POSITIVE_INFINITY;
}

/**
 * About how many bytes of uplinks wait for a business. The server counts the messages of a subject, not
 * their bytes, so it is asked how long some of them are, others each time.
 */
export async function storedBytes(
  streams: Pick<Streams, "sizeAt">,
  subject: string,
  { subjects, firstSequence, lastSequence }: StreamState,
  random: () => number,
): Promise<number> {
  const messages = subjects.get(subject) ?? 0;
  if (messages === 0) return 0;
  // From the first on there is one for certain.
  const places = Array.from({ length: SAMPLES }, (_, sample) =>
    sample === 0
      ? firstSequence
      : Math.floor(firstSequence + random() * (lastSequence - firstSequence + 1)),
  );
  const found = await Promise.all(
    places.map((place) => streams.sizeAt(UPLINK_STREAM, subject, place)),
  );
  const sizes = found.filter((size) => size !== undefined);
  if (sizes.length === 0) return 0;
  const average = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  return messages * (average + OVERHEAD_BYTES);
}
