import { UPLINK_STREAM } from "../../streams/layout.ts";
import { BUSINESS_DEFAULTS, type Business } from "../../streams/records.ts";
import { covers, parseUplinkSubject, UPLINK_FILTER } from "../../streams/subjects.ts";
import type { ConsumerProgress, Streams } from "../bus/contract.ts";
import { storedBytes, uplinkLimit } from "../businesses/stored-uplinks.ts";

/** Of what a business may have waiting. Below it, what it has handled is kept for whoever wants it again. */
const PURGED_ABOVE = 0.5;

export interface UplinkPurgeOptions {
  streams: Streams;
  /** What is registered. */
  business(app: string, business: string): Business | undefined;
  random: () => number;
}

/**
 * Makes room for uplinks: deletes what all durable consumers of a business's subject have handled, once
 * the business has half of what it may. What nobody has handled stays until its day is over.
 * Resolves to how many were deleted.
 */
export async function purgeUplinks(options: UplinkPurgeOptions): Promise<number> {
  const { streams, business, random } = options;
  const state = await streams.state(UPLINK_STREAM, UPLINK_FILTER);
  const crowded: string[] = [];
  for (const subject of state.subjects.keys()) {
    const { app, business: name } = parseUplinkSubject(subject);
    const limit = uplinkLimit(business(app, name) ?? BUSINESS_DEFAULTS, state);
    const bytes = await storedBytes(streams, subject, state, random);
    if (bytes > limit * PURGED_ABOVE) crowded.push(subject);
  }
  if (state.maxBytes > 0 && state.bytes > state.maxBytes * PURGED_ABOVE) {
    crowded.splice(0, crowded.length, ...state.subjects.keys());
  }
  if (crowded.length === 0) return 0;
  const consumers = await streams.consumers(UPLINK_STREAM);
  let purged = 0;
  for (const subject of crowded) {
    const handled = handledUpTo(subject, consumers);
    if (handled < state.firstSequence) continue;
    purged += await streams.purge(UPLINK_STREAM, { subject, below: handled + 1 });
  }
  return purged;
}

/** What every durable consumer of the subject has handled; 0 when there is none. */
export function handledUpTo(subject: string, consumers: readonly ConsumerProgress[]): number {
  const own = consumers.filter(
    ({ filters }) => filters.length === 0 || filters.some((filter) => covers(filter, subject)),
  );
  if (own.length === 0) return 0;
  return own.reduce((lowest, { handled }) => Math.min(lowest, handled), Number.MAX_SAFE_INTEGER);
}
