import { randomBytes } from "node:crypto";
import { type CryptoKey, decodeProtectedHeader, errors, jwtVerify, SignJWT } from "jose";
import { decodeJson } from "../../streams/records.ts";
import type { Bucket, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { HoldfastError } from "../status/errors.ts";

const ISSUER = "holdfast";
const AUDIENCE = "holdfast-access";
/**
 * One algorithm for the issuer: a token cannot choose how it is checked. HMAC, because control and
 * access are one trust domain and both paths are hot: here it costs a login 40 us of CPU where
 * Ed25519 costs 290, and an admission less still (test/bench/tokens.ts).
 */
const ALGORITHM = "HS256";
const SECRET_BYTES = 32;

/** The key in bucket `hf_key` that tokens are signed with. Any other key there is still good for checking. */
const CURRENT = "current";

interface SecretRecord {
  kid: string;
  /** base64url. */
  secret: string;
}

/** Whom a token speaks for. */
export interface Identity {
  app: string;
  device: string;
  /** "" for a device without a user. */
  user: string;
}

export interface VerifiedToken extends Identity {
  /** Unix milliseconds. */
  expiresAtMs: number;
}

/** Signs tokens. Several control processes share one secret: the first to start makes it. */
export class TokenIssuer {
  readonly #kid: string;
  readonly #key: CryptoKey;

  private constructor(kid: string, key: CryptoKey) {
    this.#kid = kid;
    this.#key = key;
  }

  static async open(secrets: Bucket): Promise<TokenIssuer> {
    const fresh: SecretRecord = {
      kid: randomBytes(6).toString("base64url"),
      secret: randomBytes(SECRET_BYTES).toString("base64url"),
    };
    const shared = await updateJson<SecretRecord>(secrets, CURRENT, (present) =>
      present === undefined ? fresh : undefined,
    );
    const { kid, secret } = shared ?? fresh;
    return new TokenIssuer(kid, await toKey(secret));
  }

  /** @returns a JWT (RFC 7519) that is good until `expiresAtMs`, Unix milliseconds. */
  issue(identity: Identity, expiresAtMs: number): Promise<string> {
    const claims = { app: identity.app, ...(identity.user !== "" && { user: identity.user }) };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: ALGORITHM, kid: this.#kid })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(identity.device)
      .setIssuedAt()
      .setExpirationTime(Math.floor(expiresAtMs / 1000))
      .sign(this.#key);
  }
}

/** Checks tokens against the secrets in the bucket, followed live. */
export class TokenVerifier {
  readonly #keys = new Map<string, CryptoKey>();
  #watch: Subscription | undefined;

  private constructor() {}

  static async follow(secrets: Bucket): Promise<TokenVerifier> {
    const verifier = new TokenVerifier();
    const imports: Promise<void>[] = [];
    verifier.#watch = await secrets.watch(">", (entry) => {
      if (entry.value !== undefined) imports.push(verifier.#add(decodeJson(entry.value)));
    });
    await Promise.all(imports);
    return verifier;
  }

  async #add({ kid, secret }: SecretRecord): Promise<void> {
    this.#keys.set(kid, await toKey(secret));
  }

  /**
   * @throws HoldfastError `expired` for a token that was good once; `unauthenticated`, naming the
   * rule it breaks, for any other that does not verify.
   */
  async verify(token: string): Promise<VerifiedToken> {
    try {
      const { payload } = await jwtVerify(token, this.#keyOf(token), {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ["exp", "sub", "app"],
      });
      const { app, sub, user, exp } = payload;
      if (typeof app !== "string" || typeof sub !== "string" || exp === undefined) {
        throw new HoldfastError("unauthenticated", "token: claims app and sub must be strings");
      }
      const known = typeof user === "string" ? user : "";
      return { app, device: sub, user: known, expiresAtMs: exp * 1000 };
    } catch (error) {
      throw translate(error);
    }
  }

  #keyOf(token: string): CryptoKey {
    const { kid, alg } = decodeProtectedHeader(token);
    if (alg !== ALGORITHM) {
      throw new HoldfastError("unauthenticated", `token: algorithm must be ${ALGORITHM}`);
    }
    const key = kid === undefined ? undefined : this.#keys.get(kid);
    if (key === undefined) {
      throw new HoldfastError(
        "unauthenticated",
        "token: signed with a key this gateway does not know",
      );
    }
    return key;
  }

  [Symbol.dispose](): void {
    this.#watch?.stop();
  }
}

/** A key object, so that the secret is not imported again for each token. */
function toKey(secret: string): Promise<CryptoKey> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const raw = Buffer.from(secret, "base64url");
  return crypto.subtle.importKey("raw", raw, algorithm, false, ["sign", "verify"]);
}

function translate(error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  if (error instanceof errors.JWTExpired) {
    return new HoldfastError("expired", "token: expired", { cause: error });
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new HoldfastError("unauthenticated", `token: claim ${error.claim} is not right`, {
      cause: error,
    });
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return new HoldfastError("unauthenticated", "token: signature does not verify", {
      cause: error,
    });
  }
  // Whatever else a hand-made token provokes in the parser.
  return new HoldfastError("unauthenticated", "token: not a signed JWT", { cause: error });
}
