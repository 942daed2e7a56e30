import { decodeJson, encodeJson } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Bucket, PutOutcome } from "./contract.ts";

const TRIES = 20;

/**
 * Changes one JSON value of a bucket by compare-and-set, again and again until nobody was in between.
 * `change` gets the present value and gives the new one, or undefined to leave it as it is.
 * Resolves to the value the key has then.
 * @throws HoldfastError `unavailable` when the bucket does not answer or the key never comes to rest.
 */
export async function updateJson<T>(
  bucket: Bucket,
  key: string,
  change: (present: T | undefined) => T | undefined,
): Promise<T | undefined> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const entry = await bucket.get(key);
    const present = entry?.value && decodeJson<T>(entry.value);
    const wanted = change(present);
    if (wanted === undefined) return present;
    const outcome = await new Promise<PutOutcome>((done) =>
      bucket.put(key, encodeJson(wanted), entry?.revision ?? 0, done),
    );
    if (outcome.kind === "stored") return wanted;
  }
  throw new HoldfastError("unavailable", `key ${key} could not be written in ${TRIES} tries`);
}
