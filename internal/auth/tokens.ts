import {
  type CryptoKey,
  decodeProtectedHeader,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  jwtVerify,
  SignJWT,
} from "jose";
import { decodeJson } from "../../streams/records.ts";
import type { Bucket, Subscription } from "../bus/contract.ts";
import { updateJson } from "../bus/update.ts";
import { HoldfastError } from "../status/errors.ts";

const ISSUER = "holdfast";
const AUDIENCE = "holdfast-access";
/** One algorithm for the issuer: a token cannot choose how it is checked. Ed25519, RFC 8037. */
const ALGORITHM = "EdDSA";

/** Keys of bucket `hf_key`. Access nodes need only the public ones; NATS permissions can keep them apart. */
const PRIVATE_KEY = "private.current";
const publicKey = (kid: string) => `public.${kid}`;
const PUBLIC_FILTER = "public.>";

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

interface PrivateKeyRecord {
  kid: string;
  jwk: JWK;
}

/** Signs tokens. Several control processes share one key: the first to start makes it. */
export class TokenIssuer {
  readonly #kid: string;
  readonly #key: CryptoKey;

  private constructor(kid: string, key: CryptoKey) {
    this.#kid = kid;
    this.#key = key;
  }

  static async open(keys: Bucket): Promise<TokenIssuer> {
    const pair = await generateKeyPair(ALGORITHM, { extractable: true });
    const fresh: PrivateKeyRecord = {
      kid: crypto.randomUUID().slice(0, 8),
      jwk: await exportJWK(pair.privateKey),
    };
    const record =
      (await updateJson<PrivateKeyRecord>(keys, PRIVATE_KEY, (present) =>
        present === undefined ? fresh : undefined,
      )) ?? fresh;
    const { kty, crv, x } = record.jwk;
    await updateJson<JWK>(keys, publicKey(record.kid), (present) =>
      present === undefined ? ({ kty, crv, x } as JWK) : undefined,
    );
    return new TokenIssuer(record.kid, await toKey(record.jwk));
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

/** Checks tokens against the issuer's public keys, followed live. */
export class TokenVerifier {
  readonly #keys = new Map<string, Promise<CryptoKey>>();
  #watch: Subscription | undefined;

  static async follow(keys: Bucket): Promise<TokenVerifier> {
    const verifier = new TokenVerifier();
    verifier.#watch = await keys.watch(PUBLIC_FILTER, (entry) => {
      const kid = entry.key.slice(publicKey("").length);
      if (entry.value === undefined) verifier.#keys.delete(kid);
      else verifier.#keys.set(kid, toKey(decodeJson<JWK>(entry.value)));
    });
    return verifier;
  }

  /**
   * @throws HoldfastError `expired` for a token that was good once; `unauthenticated`, naming the
   * rule it breaks, for any other that does not verify.
   */
  async verify(token: string): Promise<VerifiedToken> {
    try {
      const key = await this.#keyOf(token);
      const { payload } = await jwtVerify(token, key, {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ["exp", "sub", "app"],
      });
      const { app, sub, user, exp } = payload;
      if (typeof app !== "string" || typeof sub !== "string" || exp === undefined) {
        throw new HoldfastError("unauthenticated", "token: claims app and sub must be strings");
      }
      return {
        app,
        device: sub,
        user: typeof user === "string" ? user : "",
        expiresAtMs: exp * 1000,
      };
    } catch (error) {
      throw translate(error);
    }
  }

  #keyOf(token: string): Promise<CryptoKey> {
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

async function toKey(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, ALGORITHM);
  if (key instanceof Uint8Array) throw new HoldfastError("internal", "a signing key is symmetric");
  return key;
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
