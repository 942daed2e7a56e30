import { timingSafeEqual } from "node:crypto";
import { type AppRecord, decodeJson } from "../../streams/records.ts";
import { appKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { HoldfastError } from "../status/errors.ts";
import { sha256 } from "./sha256.ts";

/** Compared with when the app does not exist, so that absent and wrong take the same time. */
const NO_KEY = sha256("");

/** The tenants, followed live from bucket `hf_app`. */
export class Apps {
  readonly #records = new Map<string, AppRecord>();
  /** How many apps have the key, by its hash. */
  readonly #keys = new Map<string, number>();
  readonly #bucket: Bucket;
  #watch: Subscription | undefined;

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  static async follow(bucket: Bucket): Promise<Apps> {
    const apps = new Apps(bucket);
    apps.#watch = await bucket.watch(">", (entry) => apps.#apply(entry));
    return apps;
  }

  has(app: string): boolean {
    return this.#records.has(appKey(app));
  }

  /** True when any client may ask to be admitted, without the app's own server in between. */
  admitsAnyone(app: string): boolean {
    return this.#records.get(appKey(app))?.admission === "open";
  }

  /**
   * What can be said before the app is known: it stands in the body of a call, and bodies are only read for
   * those who have a key.
   * @throws HoldfastError `unauthenticated` when the key is no app's, as `authorize` would.
   */
  recognize(bearer: string | undefined): void {
    // Looking up a hash tells by its time nothing that helps to find a key.
    const known = bearer !== undefined && this.#keys.has(sha256(bearer).toString("hex"));
    if (!known) throw wrongKey();
  }

  /**
   * @throws HoldfastError `unauthenticated` when the key is not one of the app's. The answer does not
   * tell whether the app exists.
   */
  authorize(app: string, bearer: string | undefined): void {
    const record = this.#records.get(appKey(app));
    const given = sha256(bearer ?? "");
    let matches = false;
    for (const key of record?.keys ?? [NO_KEY.toString("hex")]) {
      if (timingSafeEqual(given, Buffer.from(key, "hex"))) matches = true;
    }
    if (record === undefined || bearer === undefined || !matches) throw wrongKey();
  }

  /** Makes the app if it is missing, and lets the key in. Keys that are there stay good. */
  async ensure(app: string, apiKey: string, admission: AppRecord["admission"]): Promise<void> {
    const hash = sha256(apiKey).toString("hex");
    const record = await updateJson<AppRecord>(this.#bucket, appKey(app), (present) =>
      present?.keys.includes(hash) && present.admission === admission
        ? undefined
        : { keys: [...new Set([...(present?.keys ?? []), hash])], admission },
    );
    if (record !== undefined) this.#put(appKey(app), record);
  }

  #apply({ key, value }: Entry): void {
    this.#put(key, value === undefined ? undefined : decodeJson<AppRecord>(value));
  }

  #put(key: string, record: AppRecord | undefined): void {
    for (const hash of this.#records.get(key)?.keys ?? []) this.#count(hash, -1);
    for (const hash of record?.keys ?? []) this.#count(hash, 1);
    if (record === undefined) this.#records.delete(key);
    else this.#records.set(key, record);
  }

  #count(hash: string, change: 1 | -1): void {
    const count = (this.#keys.get(hash) ?? 0) + change;
    if (count === 0) this.#keys.delete(hash);
    else this.#keys.set(hash, count);
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }
}

function wrongKey(): HoldfastError {
  return new HoldfastError(
    "unauthenticated",
    'app and API key do not go together; send "Authorization: Bearer <api key>" of the app',
  );
}
