import type { Admission, ApiKey, AppRecord, TokenKey } from "../../streams/records.ts";
import { decodeJson, WHOLE_SCOPE } from "../../streams/records.ts";
import { appKey, appOfKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import { findKey, hashOf, keyFrom, makeKey, type NewKey } from "./api-keys.ts";

/** More keys than anybody tells apart; each call compares with all of its app's. */
const MOST_KEYS = 100;

/** The tenants, followed live from bucket `hf_app`. */
export class Apps {
  readonly #records = new Map<string, AppRecord>();
  /** How many apps have the key, by its hash. */
  readonly #hashes = new Map<string, number>();
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  readonly #deleted = new Set<(app: string) => void>();
  #watch: Subscription | undefined;

  private constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  static async follow(bucket: Bucket, clock: Clock = systemClock): Promise<Apps> {
    const apps = new Apps(bucket, clock);
    apps.#watch = await bucket.watch(">", (entry) => apps.#apply(entry));
    return apps;
  }

  /** Calls when an app is gone. */
  onDeleted(deleted: (app: string) => void): void {
    this.#deleted.add(deleted);
  }

  has(app: string): boolean {
    return this.#records.has(appKey(app));
  }

  /** All of them, in the order of their names. */
  list(): { app: string; record: AppRecord }[] {
    return [...this.#records]
      .map(([key, record]) => ({ app: appOfKey(key), record }))
      .sort((a, b) => (a.app < b.app ? -1 : 1));
  }

  get(app: string): AppRecord | undefined {
    return this.#records.get(appKey(app));
  }

  /** True when any client may ask to be admitted, without the app's own server in between. */
  admitsAnyone(app: string): boolean {
    return this.get(app)?.admission === "open";
  }

  /** The key with which the app signs tokens under this id. */
  tokenKey(app: string, kid: string): TokenKey | undefined {
    return this.get(app)?.tokenKeys.find((key) => key.kid === kid);
  }

  /**
   * What can be said before the app is known: it stands in the body of a call, and bodies are only read for
   * those who have a key.
   * @throws HoldfastError `unauthenticated` when the key is no app's, as `authorize` would.
   */
  recognize(bearer: string | undefined): void {
    // Looking up a hash tells by its time nothing that helps to find a key.
    if (bearer === undefined || !this.#hashes.has(hashOf(bearer))) throw wrongKey();
  }

  /**
   * The app's key that was given.
   * @throws HoldfastError `unauthenticated` when the key is not one of the app's. The answer does not
   * tell whether the app exists.
   */
  authorize(app: string, bearer: string | undefined): ApiKey {
    const key = findKey(this.get(app)?.keys ?? [], bearer, this.#clock.now());
    if (key === undefined) throw wrongKey();
    return key;
  }

  /** Makes the app if it is missing, and lets the key in. Keys that are there stay good. */
  async ensure(app: string, apiKey: string, admission: Admission): Promise<void> {
    const about = { name: "", createdAt: this.#clock.now(), expiresAt: 0, scope: WHOLE_SCOPE };
    const key = keyFrom(apiKey, about);
    await this.#change(app, (present) => {
      if (present?.admission === admission && present.keys.some(({ hash }) => hash === key.hash)) {
        return undefined;
      }
      const others = present?.keys.filter(({ hash }) => hash !== key.hash) ?? [];
      return { tokenKeys: [], ...present, keys: [...others, key], admission };
    });
  }

  /** @throws HoldfastError `conflict` when there is an app of this name. */
  async create(app: string, admission: Admission): Promise<{ secret: string; key: ApiKey }> {
    const made = makeKey({ ...this.#newKey(), name: "first" });
    await this.#change(app, (present) => {
      if (present !== undefined) {
        throw new HoldfastError("conflict", `app: there is one named ${app} already`);
      }
      return { keys: [made.key], admission, tokenKeys: [] };
    });
    return made;
  }

  /** @throws HoldfastError `not-found` here and below when there is no such app. */
  async set(
    app: string,
    change: Pick<Partial<AppRecord>, "admission" | "dispatch">,
  ): Promise<void> {
    await this.#changeExisting(app, (present) => ({ ...present, ...change }));
  }

  async delete(app: string): Promise<void> {
    const entry = await this.#bucket.get(appKey(app));
    if (entry?.value === undefined) throw noApp(app);
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#bucket.delete(appKey(app), entry.revision, ({ kind }) => resolve(kind));
    if ((await promise) !== "stored") {
      throw new HoldfastError("unavailable", "somebody else has changed the app; try again");
    }
    this.#put(appKey(app), undefined);
  }

  async createKey(
    app: string,
    about: Omit<NewKey, "createdAt">,
  ): Promise<{ secret: string; key: ApiKey }> {
    const made = makeKey({ ...this.#newKey(), ...about });
    await this.#changeExisting(app, (present) => {
      if (present.keys.length >= MOST_KEYS) {
        throw new HoldfastError("exhausted", `app: has ${MOST_KEYS} keys; revoke some first`);
      }
      return { ...present, keys: [...present.keys, made.key] };
    });
    return made;
  }

  async revokeKey(app: string, id: string): Promise<void> {
    await this.#changeExisting(app, (present) => {
      const keys = present.keys.filter((key) => key.id !== id);
      if (keys.length === present.keys.length) {
        throw new HoldfastError("not-found", `key_id: the app has no key ${id}`);
      }
      return { ...present, keys };
    });
  }

  /** One of the same id is replaced. */
  async setTokenKey(app: string, key: TokenKey): Promise<void> {
    await this.#changeExisting(app, (present) => {
      const others = present.tokenKeys.filter(({ kid }) => kid !== key.kid);
      if (others.length >= MOST_KEYS) {
        throw new HoldfastError("exhausted", `app: has ${MOST_KEYS} token keys; delete some first`);
      }
      return { ...present, tokenKeys: [...others, key] };
    });
  }

  async deleteTokenKey(app: string, kid: string): Promise<void> {
    await this.#changeExisting(app, (present) => {
      const tokenKeys = present.tokenKeys.filter((key) => key.kid !== kid);
      if (tokenKeys.length === present.tokenKeys.length) {
        throw new HoldfastError("not-found", `kid: the app has no token key ${kid}`);
      }
      return { ...present, tokenKeys };
    });
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #newKey(): NewKey {
    return { name: "", createdAt: this.#clock.now(), expiresAt: 0, scope: WHOLE_SCOPE };
  }

  #changeExisting(app: string, change: (present: AppRecord) => AppRecord): Promise<void> {
    return this.#change(app, (present) => {
      if (present === undefined) throw noApp(app);
      return change(present);
    });
  }

  /** Here at once; elsewhere when the bucket's change arrives there. */
  async #change(
    app: string,
    change: (present: AppRecord | undefined) => AppRecord | undefined,
  ): Promise<void> {
    const record = await updateJson<AppRecord>(this.#bucket, appKey(app), (present) =>
      change(present && completed(present)),
    );
    if (record !== undefined) this.#put(appKey(app), record);
  }

  #apply({ key, value }: Entry): void {
    this.#put(key, value === undefined ? undefined : completed(decodeJson<AppRecord>(value)));
    if (value !== undefined) return;
    for (const deleted of this.#deleted) deleted(appOfKey(key));
  }

  #put(key: string, record: AppRecord | undefined): void {
    this.#count(this.#records.get(key), -1);
    this.#count(record, 1);
    if (record === undefined) this.#records.delete(key);
    else this.#records.set(key, record);
  }

  #count(record: AppRecord | undefined, by: number): void {
    for (const { hash } of record?.keys ?? []) {
      const count = (this.#hashes.get(hash) ?? 0) + by;
      if (count > 0) this.#hashes.set(hash, count);
      else this.#hashes.delete(hash);
    }
  }
}

function noApp(app: string): HoldfastError {
  return new HoldfastError("not-found", `app: there is none named ${app}`);
}

/** A record as an earlier release has left it: its keys were hashes and nothing else. */
function completed(record: AppRecord | (Omit<AppRecord, "keys"> & { keys: string[] })): AppRecord {
  const keys = record.keys.map((key) =>
    typeof key === "string"
      ? {
          id: key.slice(0, 12),
          hash: key,
          name: "",
          createdAt: 0,
          expiresAt: 0,
          scope: WHOLE_SCOPE,
        }
      : key,
  );
  return { ...record, keys, tokenKeys: record.tokenKeys ?? [] };
}

function wrongKey(): HoldfastError {
  return new HoldfastError(
    "unauthenticated",
    'app and API key do not go together; send "Authorization: Bearer <api key>" of the app',
  );
}
