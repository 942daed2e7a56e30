import { createVerifier, TokenError } from "fast-jwt";
import { LRUCache } from "lru-cache";
import { MAX_TOKEN_MS } from "../../streams/layout.ts";
import type { TokenKey } from "../../streams/records.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Apps } from "./apps.ts";
import { AUDIENCE, type Grants, ISSUER, type VerifiedToken } from "./claims.ts";
import { KeySets } from "./jwks.ts";
import type { Bearer, Revocations } from "./revocations.ts";
import type { SigningKeys } from "./signing-keys.ts";
import { ALGORITHM } from "./token-issuer.ts";

/** Checks one token against one key. @throws TokenError */
type Check = (token: string) => unknown;

type Claims = Record<string, unknown>;

const CHECKS_KEPT = 1_000;
const MOST_GRANTS = 100;
/** Clocks of an app's servers and ours may differ by so much. */
const TOLERANCE_MS = 5_000;

export interface TokenVerifierOptions {
  keys: SigningKeys;
  /** Of apps that sign tokens themselves. */
  apps?: Pick<Apps, "tokenKey" | "has">;
  revocations?: Pick<Revocations, "includes">;
  keySets?: KeySets;
  clock?: Clock;
}

/**
 * Checks tokens: the gateway's own against its secrets, and an app's own against the keys that the
 * app has registered. A key id counts only within its issuer, and each key has one algorithm.
 */
export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #clock: Clock;
  readonly #keySets: KeySets;
  /** By what the key is: a key that was replaced or deleted is found no more. */
  readonly #checks = new LRUCache<string, Check>({ max: CHECKS_KEPT });

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#keySets = options.keySets ?? new KeySets({ clock: this.#clock });
  }

  /**
   * At once, but for a token whose key has to be fetched.
   * @throws HoldfastError `expired` for a token that was good once; `unauthenticated`, naming the
   * rule it breaks, for any other that does not verify; `unavailable` when its key cannot be had.
   */
  verify(token: string): VerifiedToken | Promise<VerifiedToken> {
    const [head = "", body = ""] = token.split(".", 2);
    const kid = textOf(decodePart(head).kid);
    const own = this.#options.keys.find(kid);
    if (own !== undefined) {
      const check = this.#check(own.secret, ALGORITHM, ISSUER, () =>
        Buffer.from(own.secret, "base64url"),
      );
      const claims = checked(check, token, ALGORITHM);
      return this.#accepted(claims, textOf(claims.app));
    }
    const app = textOf(decodePart(body).iss);
    const key = app === "" ? undefined : this.#options.apps?.tokenKey(app, kid);
    if (key === undefined) throw unauthenticated("signed with a key this gateway does not know");
    if (key.jwksUrl !== "") return this.#verifyFetched(token, app, key);
    return this.#verifyOf(token, app, key, key.secret || key.publicKey);
  }

  isRevoked(bearer: Bearer): boolean {
    return this.#options.revocations?.includes(bearer) ?? false;
  }

  async #verifyFetched(token: string, app: string, key: TokenKey): Promise<VerifiedToken> {
    const pem = await this.#keySets.find(key.jwksUrl, key.kid);
    if (pem === undefined) throw unauthenticated("its key is not in the app's JWK set");
    return this.#verifyOf(token, app, key, pem);
  }

  #verifyOf(token: string, app: string, { algorithm }: TokenKey, material: string): VerifiedToken {
    const check = this.#check(material, algorithm, app, () =>
      algorithm === "HS256" ? Buffer.from(material, "base64url") : material,
    );
    const claims = checked(check, token, algorithm);
    const verified = this.#accepted(claims, app);
    if (verified.expiresAtMs > this.#clock.now() + MAX_TOKEN_MS + TOLERANCE_MS) {
      throw unauthenticated("claim exp is more than 15 minutes away");
    }
    return verified;
  }

  #check(
    material: string,
    algorithm: TokenKey["algorithm"],
    issuer: string,
    key: () => Buffer | string,
  ): Check {
    const name = `${algorithm}\n${issuer}\n${material}`;
    let check = this.#checks.get(name);
    if (check === undefined) {
      check = createVerifier({
        key: key(),
        algorithms: [algorithm],
        allowedIss: issuer,
        allowedAud: AUDIENCE,
        requiredClaims: ["exp", "sub"],
        clockTolerance: TOLERANCE_MS,
        cache: false,
      }) as Check;
      this.#checks.set(name, check);
    }
    return check;
  }

  #accepted(claims: Claims, app: string): VerifiedToken {
    const { sub, exp, user, jti } = claims;
    if (app === "" || typeof sub !== "string" || sub === "" || typeof exp !== "number") {
      throw unauthenticated("claims app and sub must be strings, and exp a number");
    }
    const expiresAtMs = exp * 1_000;
    const issuedAtMs = issuedAt(claims) ?? expiresAtMs - MAX_TOKEN_MS;
    const bearer = { app, device: sub, user: textOf(user), id: textOf(jti), issuedAtMs };
    const { apps } = this.#options;
    if (apps !== undefined && !apps.has(app)) throw unauthenticated("its app is not there");
    if (this.isRevoked(bearer)) throw unauthenticated("it was revoked");
    return { ...bearer, expiresAtMs, ...grantsOf(claims) };
  }
}

/** Undefined where it does not say: then it may be as old as a token can be. */
function issuedAt({ issued_ms: ms, iat }: Claims): number | undefined {
  if (typeof ms === "number") return ms;
  return typeof iat === "number" ? iat * 1_000 : undefined;
}

function grantsOf({ rooms, businesses, labels }: Claims): Grants {
  return {
    ...(rooms !== undefined && { rooms: textsOf("rooms", rooms) }),
    ...(businesses !== undefined && { businesses: textsOf("businesses", businesses) }),
    ...(isLabels(labels) && { labels }),
  };
}

function textsOf(claim: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MOST_GRANTS) {
    throw unauthenticated(`claim ${claim} must be a list of at most ${MOST_GRANTS}`);
  }
  return value.filter((item) => typeof item === "string");
}

function isLabels(value: unknown): value is Record<string, string> {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every((label) => typeof label === "string");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A part of a token, unchecked; {} for what is none. */
function decodePart(part: string): Claims {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null ? (value as Claims) : {};
  } catch {
    throw unauthenticated("not a signed JWT");
  }
}

function checked(check: Check, token: string, algorithm: string): Claims {
  try {
    return check(token) as Claims;
  } catch (error) {
    throw translate(error, algorithm);
  }
}

function translate(error: unknown, algorithm: string): HoldfastError {
  const code = error instanceof TokenError ? error.code : "";
  const { message } = HoldfastError.from(error);
  switch (code) {
    case TokenError.codes.expired:
      return new HoldfastError("expired", "token: expired", { cause: error });
    case TokenError.codes.invalidSignature:
      return unauthenticated("signature does not verify", error);
    case TokenError.codes.invalidAlgorithm:
      return unauthenticated(`algorithm must be ${algorithm}`, error);
    case TokenError.codes.inactive:
      return unauthenticated("not good yet", error);
    case TokenError.codes.invalidClaimValue:
    case TokenError.codes.missingRequiredClaim:
      return unauthenticated(claimMessage(message), error);
    default:
      // Whatever else a hand-made token provokes in the parser.
      return unauthenticated("not a signed JWT", error);
  }
}

/** The library says "The aud claim value is not allowed." */
function claimMessage(text: string): string {
  const claim = /The (\S+) claim/.exec(text)?.[1];
  return claim === undefined ? "a claim is not right" : `claim ${claim} is not right`;
}

function unauthenticated(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError("unauthenticated", `token: ${why}`, { cause });
}
