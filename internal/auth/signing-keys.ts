import { randomBytes } from "node:crypto";
import { MAX_TOKEN_MS } from "../../streams/layout.ts";
import { decodeJson, type SigningKey } from "../../streams/records.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { type Clock, systemClock } from "../clock/clock.ts";

const KID_BYTES = 6;
const SECRET_BYTES = 32;
/** By then every access node has heard of a new key. */
const ROLLOUT_MS = 2_000;
/** The key in bucket `hf_key` that tokens are signed with now. */
const CURRENT = "current";

/**
 * The secrets that the gateway's own tokens are signed with, followed live from bucket `hf_key`. Several
 * control processes share them: the first to start makes one.
 */
export class SigningKeys implements Disposable {
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  /** By the key in the bucket. */
  readonly #entries = new Map<string, SigningKey>();
  /** After a change: what is signed with until everybody knows the new one, in monotonic ms. */
  #before: { key: SigningKey; until: number } | undefined;
  #watch: Subscription | undefined;

  private constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  static async follow(bucket: Bucket, clock: Clock = systemClock): Promise<SigningKeys> {
    const keys = new SigningKeys(bucket, clock);
    keys.#watch = await bucket.watch(">", (entry) => keys.#apply(entry));
    return keys;
  }

  /** The one to sign with, undefined before there is any. A new one is first let known everywhere. */
  get current(): SigningKey | undefined {
    const current = this.#entries.get(CURRENT);
    const before = this.#before;
    if (before === undefined || current === undefined) return current;
    if (this.#clock.monotonic() - before.until < 0) return before.key;
    this.#before = undefined;
    return current;
  }

  /** The one of this id, if it is still good. */
  find(kid: string): SigningKey | undefined {
    for (const key of this.#entries.values()) {
      if (key.kid !== kid) continue;
      if (key.goodUntil === 0 || key.goodUntil > this.#clock.now()) return key;
    }
    return undefined;
  }

  /** Makes the first one, unless somebody has. */
  async ensure(): Promise<void> {
    const shared = await updateJson<SigningKey>(this.#bucket, CURRENT, (present) =>
      present === undefined ? freshKey() : undefined,
    );
    if (shared !== undefined) this.#set(CURRENT, shared);
  }

  /** Signs with a new one from now on; the old one is good as long as tokens of it may be. */
  async rotate(): Promise<SigningKey> {
    const fresh = freshKey();
    const goodUntil = this.#clock.now() + MAX_TOKEN_MS;
    const entry = await this.#bucket.get(CURRENT);
    if (entry?.value !== undefined) {
      const old = { ...decodeJson<SigningKey>(entry.value), goodUntil };
      // Before the new one stands: a token must never be signed with a key that nobody knows any more.
      await updateJson<SigningKey>(this.#bucket, old.kid, () => old);
    }
    await updateJson<SigningKey>(this.#bucket, CURRENT, () => fresh);
    this.#set(CURRENT, fresh);
    this.#forgetOld();
    return fresh;
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #forgetOld(): void {
    const now = this.#clock.now();
    for (const [name, { goodUntil }] of this.#entries) {
      if (goodUntil === 0 || goodUntil > now) continue;
      this.#entries.delete(name);
      // What fails is tried again at the next rotation; nobody takes it for good until then.
      void this.#bucket.get(name).then(
        (entry) => entry && this.#bucket.delete(name, entry.revision, () => {}),
        () => {},
      );
    }
  }

  #apply({ key, value }: Entry): void {
    if (value === undefined) this.#entries.delete(key);
    else this.#set(key, completed(decodeJson<SigningKey>(value)));
  }

  #set(name: string, key: SigningKey): void {
    const present = this.#entries.get(name);
    if (name === CURRENT && present !== undefined && present.kid !== key.kid) {
      this.#before = { key: present, until: this.#clock.monotonic() + ROLLOUT_MS };
    }
    this.#entries.set(name, key);
  }
}

function freshKey(): SigningKey {
  return {
    kid: randomBytes(KID_BYTES).toString("hex"),
    secret: randomBytes(SECRET_BYTES).toString("base64url"),
    goodUntil: 0,
  };
}

/** A record as an earlier release has left it: there was only one. */
function completed(key: Omit<SigningKey, "goodUntil"> & { goodUntil?: number }): SigningKey {
  return { ...key, goodUntil: key.goodUntil ?? 0 };
}
