import { type Business, decodeJson } from "../../streams/records.ts";
import { ALL_KEYS, parseBusinessKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";

/** Called with what was registered, or with undefined when it was deleted. */
export type BusinessChanged = (app: string, business: string, record: Business | undefined) => void;

/**
 * Follows bucket `hf_business`: `changed` hears of every business, and resolves when it has heard of
 * all that are there now. What cannot be read counts as deleted, and `unreadable` is told.
 */
export function followBusinesses(
  bucket: Bucket,
  changed: BusinessChanged,
  unreadable: (key: string, error: unknown) => void,
): Promise<Subscription> {
  return bucket.watch(ALL_KEYS, ({ key, value }: Entry) => {
    const { app, business } = parseBusinessKey(key);
    let record: Business | undefined;
    try {
      record = value && decodeJson<Business>(value);
    } catch (error) {
      unreadable(key, error);
    }
    changed(app, business, record);
  });
}
