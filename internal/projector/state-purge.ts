import { STATE_STREAM } from "../../streams/layout.ts";
import { ALL_KEYS, appOfKey, appStateFilter } from "../../streams/subjects.ts";
import type { Bucket, Streams } from "../bus/contract.ts";

/** Above this part of the stream the largest apps lose their oldest events, down to the second. */
const PRESSED_ABOVE = 0.7;
const PURGED_TO = 0.5;

/**
 * Makes room in the stream of connection state. What has happened cannot be refused, and a stream that
 * drops its oldest would let one app in a storm drop the events of all the others; so what goes is the
 * oldest of those apps that have more than an equal part. An app with less loses nothing.
 * Resolves to how many events were deleted.
 */
export async function purgeState(streams: Streams, apps: Bucket): Promise<number> {
  const { messages, bytes, maxBytes } = await streams.state(STATE_STREAM);
  if (maxBytes <= 0 || bytes <= maxBytes * PRESSED_ABOVE) return 0;
  const counts = new Map<string, number>();
  for await (const { key } of apps.list(ALL_KEYS)) {
    const app = appOfKey(key);
    counts.set(app, await streams.count(STATE_STREAM, appStateFilter(app)));
  }
  const kept = equalParts(counts, Math.floor((messages * PURGED_TO * maxBytes) / bytes));
  let purged = 0;
  for (const [app, keep] of kept) {
    purged += await streams.purge(STATE_STREAM, { subject: appStateFilter(app), keep });
  }
  return purged;
}

/**
 * Divides `room` so that those who want little get all they want, and the others the same. Gives what is
 * left to those who do not get all.
 */
export function equalParts(wanted: ReadonlyMap<string, number>, room: number): Map<string, number> {
  const least = [...wanted].toSorted(([, a], [, b]) => a - b);
  const parts = new Map<string, number>();
  let left = room;
  for (const [place, [name, want]] of least.entries()) {
    const equal = Math.floor(left / (least.length - place));
    const part = Math.min(want, equal);
    left -= part;
    if (part < want) parts.set(name, part);
  }
  return parts;
}
