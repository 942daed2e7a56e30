/**
 * The one error class of the gateway. Foreign errors (NATS, sockets, Connect) are translated
 * where they enter, so that every layer above can decide by `code` alone.
 */

export const CODES = [
  "invalid", // the caller sent something that breaks a named rule
  "unauthenticated", // no credential, or one that does not verify
  "expired", // a credential that was good, and is no longer
  "forbidden", // a good credential that does not allow this
  "not-found",
  "conflict", // the thing exists in another form, or somebody else wrote first
  "exhausted", // a limit or quota was reached; trying later may help
  "unavailable", // a part this needs is away; trying later may help
  "timeout",
  "unsupported", // a version or feature that this build does not have
  "internal", // a bug
] as const;

export type Code = (typeof CODES)[number];

export class HoldfastError extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "HoldfastError";
    this.code = code;
  }

  /** Any thrown value as a HoldfastError; what is not one already becomes `internal`. */
  static from(reason: unknown): HoldfastError {
    if (reason instanceof HoldfastError) return reason;
    const message = reason instanceof Error ? reason.message : String(reason);
    return new HoldfastError("internal", message, { cause: reason });
  }
}

/** Several mistakes reported at once, one a line, so that nobody fixes them one start at a time. */
export function invalidBecause(what: string, mistakes: readonly string[]): HoldfastError {
  const lines = mistakes.map((mistake) => `  - ${mistake}`).join("\n");
  return new HoldfastError("invalid", `${what}:\n${lines}`);
}
