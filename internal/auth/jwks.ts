import { createPublicKey } from "node:crypto";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";

const KEPT_MS = 10 * 60 * 1_000;
/** A set that was just fetched is not fetched again for a key that it does not have. */
const PAUSE_MS = 30 * 1_000;
const TIMEOUT_MS = 3_000;
const MAX_BYTES = 256 * 1_024;

interface KeySet {
  fetchedAt: number;
  /** PEM, by kid. */
  keys: Promise<ReadonlyMap<string, string>>;
}

/** Public keys that apps publish as JWK sets (RFC 7517), fetched when they are needed and kept for a while. */
export class KeySets {
  readonly #sets = new Map<string, KeySet>();
  readonly #clock: Clock;
  readonly #fetch: typeof fetch;

  constructor(options: { clock?: Clock; fetch?: typeof fetch } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#fetch = options.fetch ?? fetch;
  }

  /** The key as PEM. Rejects with HoldfastError `unavailable` when the set cannot be had. */
  async find(url: string, kid: string): Promise<string | undefined> {
    const key = (await this.#set(url, KEPT_MS)).get(kid);
    return key ?? (await this.#set(url, PAUSE_MS)).get(kid);
  }

  #set(url: string, notOlderThanMs: number): Promise<ReadonlyMap<string, string>> {
    const now = this.#clock.monotonic();
    const known = this.#sets.get(url);
    if (known !== undefined && now - known.fetchedAt < notOlderThanMs) return known.keys;
    const keys = this.#load(url);
    this.#sets.set(url, { fetchedAt: now, keys });
    // A set that could not be had is asked for again after the pause, not after it would be old.
    keys.catch(() => this.#sets.set(url, { fetchedAt: now - KEPT_MS + PAUSE_MS, keys }));
    return keys;
  }

  async #load(url: string): Promise<ReadonlyMap<string, string>> {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const response = await this.#fetch(url, { signal, redirect: "error" });
      if (!response.ok) throw new HoldfastError("unavailable", `HTTP ${response.status}`);
      const text = await response.text();
      if (text.length > MAX_BYTES) throw new HoldfastError("unavailable", "the set is too long");
      return parseKeySet(text);
    } catch (cause) {
      const { message } = HoldfastError.from(cause);
      throw new HoldfastError("unavailable", `the JWK set of the app: ${message}`, { cause });
    }
  }
}

/** Keys that cannot be read are left out: one that is new to this build must not lock out the others. */
function parseKeySet(text: string): ReadonlyMap<string, string> {
  const { keys } = JSON.parse(text) as { keys?: { kid?: string }[] };
  const found = new Map<string, string>();
  for (const jwk of Array.isArray(keys) ? keys : []) {
    if (typeof jwk.kid !== "string") continue;
    try {
      const key = createPublicKey({ key: jwk as Record<string, unknown>, format: "jwk" });
      found.set(jwk.kid, String(key.export({ type: "spki", format: "pem" })));
    } catch {
      // Not a public key that Node knows.
    }
  }
  return found;
}
