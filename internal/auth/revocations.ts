import { MAX_TOKEN_MS } from "../../streams/layout.ts";
import { decodeJson, type Revocation } from "../../streams/records.ts";
import { parseRevokedKey, type RevokedKind, revokedKey } from "../../streams/subjects.ts";
import type { Bucket, Entry, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { VerifiedToken } from "./claims.ts";

/** Tokens that a revocation is about are over by then, also where clocks differ. */
const REMEMBERED_MS = 2 * MAX_TOKEN_MS;
const AT_ONCE = 64;

/** A token, or what a connection keeps of it. */
export type Bearer = Pick<VerifiedToken, "app" | "device" | "user" | "id" | "issuedAtMs">;

export interface RevokedEvent {
  app: string;
  kind: RevokedKind;
  id: string;
}

/** What was revoked lately, followed live from bucket `hf_revoked`. */
export class Revocations implements Disposable {
  /** When each key was revoked, Unix ms; the oldest first. */
  readonly #at = new Map<string, number>();
  readonly #clock: Clock;
  readonly #listeners = new Set<(event: RevokedEvent) => void>();
  #watch: Subscription | undefined;

  private constructor(clock: Clock) {
    this.#clock = clock;
  }

  static async follow(bucket: Bucket, clock: Clock = systemClock): Promise<Revocations> {
    const revocations = new Revocations(clock);
    revocations.#watch = await bucket.watch(">", (entry) => revocations.#apply(entry));
    return revocations;
  }

  /** Calls with every revocation from now on. */
  listen(revoked: (event: RevokedEvent) => void): void {
    this.#listeners.add(revoked);
  }

  /** Whether the token was issued before it, its device or its user was revoked. */
  includes({ app, device, user, id, issuedAtMs }: Bearer): boolean {
    if (this.#at.size === 0) return false;
    return (
      (id !== "" && this.#since(app, "token", id) !== undefined) ||
      issuedAtMs <= (this.#since(app, "device", device) ?? Number.NEGATIVE_INFINITY) ||
      (user !== "" && issuedAtMs <= (this.#since(app, "user", user) ?? Number.NEGATIVE_INFINITY))
    );
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }

  #since(app: string, kind: RevokedKind, id: string): number | undefined {
    return this.#at.get(revokedKey(app, kind, id));
  }

  #apply({ key, value }: Entry): void {
    if (value === undefined) {
      this.#at.delete(key);
      return;
    }
    const { at } = decodeJson<Revocation>(value);
    const now = this.#clock.now();
    for (const [old, since] of this.#at) {
      if (since > now - REMEMBERED_MS) break;
      this.#at.delete(old);
    }
    if (at <= now - REMEMBERED_MS) return;
    this.#at.delete(key);
    this.#at.set(key, at);
    const event = parseRevokedKey(key);
    for (const listener of this.#listeners) listener(event);
  }
}

/**
 * Revokes all of these, as of `nowMs`.
 * @throws HoldfastError `unavailable` when it cannot be written; what was written stays.
 */
export async function revoke(
  bucket: Bucket,
  app: string,
  what: readonly { kind: RevokedKind; id: string }[],
  nowMs: number,
): Promise<void> {
  if (what.length === 0) {
    throw new HoldfastError("invalid", "devices, users or token_ids: name at least one");
  }
  for (let start = 0; start < what.length; start += AT_ONCE) {
    await Promise.all(
      what
        .slice(start, start + AT_ONCE)
        .map(({ kind, id }) =>
          updateJson<Revocation>(bucket, revokedKey(app, kind, id), () => ({ at: nowMs })),
        ),
    );
  }
}
