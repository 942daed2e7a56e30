import type { RoomSettings } from "../../../streams/records.ts";
import type { Entry } from "./entry.ts";

/** What an app has set for one of its rooms. */
export interface RoomRules {
  /** "" for none. */
  readonly zone: string;
  readonly aggregation: NonNullable<RoomSettings["aggregation"]>;
  /** Of "latest": the name in the metadata whose value is the key. */
  readonly latestKey: string;
}

export const NO_RULES: RoomRules = { zone: "", aggregation: "window", latestKey: "" };

export function rulesOf({ zone, aggregation, latestKey }: RoomSettings): RoomRules {
  return {
    zone,
    aggregation: aggregation ?? NO_RULES.aggregation,
    latestKey: latestKey ?? NO_RULES.latestKey,
  };
}

/** Whether messages may wait for others, to be sent with them. */
export function gathers({ aggregation }: RoomRules): boolean {
  return aggregation !== "never";
}

/** Of messages that go together: without those that a later one replaces. */
export function wanted(
  entries: readonly Entry[],
  { aggregation, latestKey }: RoomRules,
): readonly Entry[] {
  if (aggregation !== "latest" || entries.length < 2) return entries;
  const keys = entries.map((entry) => entry.metadata(latestKey));
  const last = new Map(keys.map((key, i) => [key, i]));
  return entries.filter((_, i) => {
    const key = keys[i];
    return key === undefined || last.get(key) === i;
  });
}
