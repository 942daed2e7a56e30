import { BUSINESS_DEFAULTS, type Business, decodeJson } from "../../streams/records.ts";
import { businessesFilter, businessKey, parseBusinessKey } from "../../streams/subjects.ts";
import type { Bucket, PutOutcome } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { HoldfastError } from "../status/errors.ts";

export interface NamedBusiness {
  name: string;
  record: Business;
}

/** Reads and writes the businesses of apps. Every method rejects as `updateJson` does. */
export class BusinessStore {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async set(app: string, name: string, record: Business): Promise<void> {
    await updateJson<Business>(this.#bucket, businessKey(app, name), () => record);
  }

  /** Registers what nobody has registered yet. */
  async ensure(app: string, name: string, settings: Partial<Business>): Promise<void> {
    await updateJson<Business>(this.#bucket, businessKey(app, name), (present) =>
      present === undefined ? { ...BUSINESS_DEFAULTS, ...settings } : undefined,
    );
  }

  /** @throws HoldfastError `not-found` */
  async get(app: string, name: string): Promise<Business> {
    const entry = await this.#bucket.get(businessKey(app, name));
    if (entry?.value === undefined) throw notFound(app, name);
    return decodeJson<Business>(entry.value);
  }

  /** In the order of their names. */
  async list(app: string): Promise<NamedBusiness[]> {
    const found: NamedBusiness[] = [];
    for await (const { key, value } of this.#bucket.list(businessesFilter(app))) {
      if (value === undefined) continue;
      found.push({ name: parseBusinessKey(key).business, record: decodeJson<Business>(value) });
    }
    return found.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws HoldfastError `not-found`, `conflict` when somebody wrote at the same time */
  async delete(app: string, name: string): Promise<void> {
    const key = businessKey(app, name);
    const entry = await this.#bucket.get(key);
    if (entry?.value === undefined) throw notFound(app, name);
    const { kind } = await new Promise<PutOutcome>((done) =>
      this.#bucket.delete(key, entry.revision, done),
    );
    if (kind === "conflict") {
      throw new HoldfastError("conflict", `business ${name} was changed at the same time`);
    }
    if (kind === "unknown") throw new HoldfastError("unavailable", "the broker did not answer");
  }
}

function notFound(app: string, name: string): HoldfastError {
  return new HoldfastError(
    "not-found",
    `app ${JSON.stringify(app)} has no business ${JSON.stringify(name)}`,
  );
}
