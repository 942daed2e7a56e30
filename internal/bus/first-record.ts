import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

/** Names one call of `appendFirst`, so that its record can be told from everybody else's. */
export const APPEND_ID_HEADER = "Holdfast-Append-Id";

/**
 * The sequence of the record on `subject` if the append named `id` stored it, else undefined. Asks the stream's leader, which has every record that was ever acknowledged.
 */
export async function firstRecordBy(
  nc: NatsConnection,
  id: string,
  place: { stream: string; subject: string },
): Promise<number | undefined> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const last = await jsm.streams.getMessage(place.stream, { last_by_subj: place.subject });
  return last?.header.get(APPEND_ID_HEADER) === id ? last.seq : undefined;
}
