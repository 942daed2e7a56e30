/** API keys: how one is made, recognised, and held to its scope. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { ApiKey, KeyScope } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import { sha256 } from "./sha256.ts";

const ID_BYTES = 6;
const SECRET_BYTES = 24;

export interface NewKey {
  name: string;
  expiresAt: number;
  scope: KeyScope;
  createdAt: number;
}

/** A new key, "<id>.<random>", and what is kept of it. */
export function makeKey(about: NewKey): { secret: string; key: ApiKey } {
  const id = randomBytes(ID_BYTES).toString("hex");
  const secret = `${id}.${randomBytes(SECRET_BYTES).toString("base64url")}`;
  return { secret, key: { ...about, id, hash: hashOf(secret) } };
}

/** What is kept of a key that somebody else has chosen. */
export function keyFrom(secret: string, about: NewKey): ApiKey {
  const hash = hashOf(secret);
  return { ...about, id: hash.slice(0, 2 * ID_BYTES), hash };
}

export function hashOf(secret: string): string {
  return sha256(secret).toString("hex");
}

/** Compared with where there is no key, so that absent and wrong take the same time. */
const NO_KEY = hashOf("");

/** The key that was given, of these. */
export function findKey(
  keys: readonly ApiKey[],
  given: string | undefined,
  nowMs: number,
): ApiKey | undefined {
  const hash = sha256(given ?? "");
  let found: ApiKey | undefined;
  let compared = false;
  for (const key of keys) {
    compared = true;
    if (timingSafeEqual(hash, Buffer.from(key.hash, "hex"))) found = key;
  }
  if (!compared) timingSafeEqual(hash, Buffer.from(NO_KEY, "hex"));
  if (given === undefined || found === undefined) return undefined;
  return found.expiresAt !== 0 && found.expiresAt <= nowMs ? undefined : found;
}

/** What a call wants to do. */
export interface Use {
  /** The RPC's name, such as "PushToUsers". */
  rpc: string;
  /** Of the message, where there is one. */
  business?: string | undefined;
  /** Devices, users, rooms or zones. Undefined for everybody. */
  targets?: readonly string[] | undefined;
}

/** @throws HoldfastError `forbidden`, naming the rule, when the key may not be used so. */
export function checkScope({ businesses, rpcs, targetPrefixes }: KeyScope, use: Use): void {
  if (rpcs.length > 0 && !rpcs.includes(use.rpc)) {
    throw new HoldfastError("forbidden", `this key may not call ${use.rpc}`);
  }
  if (businesses.length > 0 && use.business !== undefined && !businesses.includes(use.business)) {
    throw new HoldfastError("forbidden", "message.business: not one that this key may speak for");
  }
  if (targetPrefixes.length === 0) return;
  if (use.targets === undefined) {
    throw new HoldfastError("forbidden", "this key may not address everybody");
  }
  const outside = use.targets.find(
    (target) => !targetPrefixes.some((prefix) => target.startsWith(prefix)),
  );
  if (outside !== undefined) {
    throw new HoldfastError("forbidden", `${outside}: not a target that this key may address`);
  }
}
