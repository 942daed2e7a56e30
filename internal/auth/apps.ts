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
    if (record === undefined || bearer === undefined || !matches) {
      throw new HoldfastError(
        "unauthenticated",
        'app and API key do not go together; send "Authorization: Bearer <api key>" of the app',
      );
    }
  }

  /** Makes the app if it is missing, and lets the key in. Keys that are there stay good. */
  async ensure(app: string, apiKey: string, admission: AppRecord["admission"]): Promise<void> {
    const hash = sha256(apiKey).toString("hex");
    const record = await updateJson<AppRecord>(this.#bucket, appKey(app), (present) =>
      present?.keys.includes(hash) && present.admission === admission
        ? undefined
        : { keys: [...new Set([...(present?.keys ?? []), hash])], admission },
    );
    if (record !== undefined) this.#records.set(appKey(app), record);
  }

  #apply(entry: Entry): void {
    if (entry.value === undefined) this.#records.delete(entry.key);
    else this.#records.set(entry.key, decodeJson<AppRecord>(entry.value));
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }
}
