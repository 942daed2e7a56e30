/** What a token says. The gateway's own and those that apps sign have the same claims (RFC 7519). */

export const ISSUER = "holdfast";
export const AUDIENCE = "holdfast-access";

/** Whom a token speaks for. */
export interface Identity {
  app: string;
  device: string;
  /** "" for a device without a user. */
  user: string;
}

/** What it may do there. Undefined: whatever the app allows. */
export interface Grants {
  /** The rooms it may join; one that ends in "*" stands for all that begin so. */
  rooms?: readonly string[] | undefined;
  /** The businesses that it may send uplinks to. */
  businesses?: readonly string[] | undefined;
  /** What nodes are chosen by, and statistics are made of. */
  labels?: Readonly<Record<string, string>> | undefined;
}

export interface VerifiedToken extends Identity, Grants {
  /** Claim `jti`, by which it can be revoked; "" when it has none. */
  id: string;
  /** Unix milliseconds. */
  issuedAtMs: number;
  /** Unix milliseconds. */
  expiresAtMs: number;
}
