import { randomFillSync } from "node:crypto";
import { createSigner } from "fast-jwt";
import type { Bucket } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";
import { AUDIENCE, type Grants, type Identity, ISSUER } from "./claims.ts";
import { SigningKeys } from "./signing-keys.ts";

/**
 * One algorithm for the issuer: a token cannot choose how it is checked. HMAC, because control and
 * access are one trust domain and both paths are hot.
 */
export const ALGORITHM = "HS256";
const ID_BYTES = 9;
const IDS_AT_ONCE = 256;

/** Random ids, many at a time: asking the system for each costs more than signing. */
class RandomIds {
  readonly #bytes = Buffer.alloc(ID_BYTES * IDS_AT_ONCE);
  #used = this.#bytes.length;

  next(): string {
    if (this.#used === this.#bytes.length) {
      randomFillSync(this.#bytes);
      this.#used = 0;
    }
    this.#used += ID_BYTES;
    return this.#bytes.toString("base64url", this.#used - ID_BYTES, this.#used);
  }
}

type Sign = (payload: object) => string;

/** Signs the tokens that Admit gives out. */
export class TokenIssuer {
  readonly #keys: SigningKeys;
  readonly #clock: Clock;
  readonly #ids = new RandomIds();
  #signer: { kid: string; sign: Sign } | undefined;

  constructor(keys: SigningKeys, clock: Clock = systemClock) {
    this.#keys = keys;
    this.#clock = clock;
  }

  /** With the keys of bucket `hf_key`; makes the first one. */
  static async open(secrets: Bucket): Promise<TokenIssuer> {
    const keys = await SigningKeys.follow(secrets);
    await keys.ensure();
    return new TokenIssuer(keys);
  }

  /** @returns a JWT (RFC 7519) that is good until `expiresAtMs`, Unix milliseconds. */
  issue({ app, device, user }: Identity, expiresAtMs: number, grants: Grants = {}): string {
    const { rooms, businesses, labels } = grants;
    return this.#sign({
      iss: ISSUER,
      aud: AUDIENCE,
      sub: device,
      app,
      ...(user !== "" && { user }),
      ...(rooms !== undefined && { rooms }),
      ...(businesses !== undefined && { businesses }),
      ...(labels !== undefined && { labels }),
      jti: this.#ids.next(),
      // Besides `iat`, which the library cuts to seconds: what is issued right after a revocation must
      // not be taken for older.
      issued_ms: this.#clock.now(),
      exp: Math.floor(expiresAtMs / 1_000),
    });
  }

  #sign(payload: object): string {
    const key = this.#keys.current;
    if (key === undefined)
      throw new HoldfastError("unavailable", "there is no key to sign with yet");
    if (this.#signer?.kid !== key.kid) {
      const secret = Buffer.from(key.secret, "base64url");
      const sign = createSigner({ key: secret, algorithm: ALGORITHM, kid: key.kid });
      this.#signer = { kid: key.kid, sign };
    }
    return this.#signer.sign(payload);
  }
}
