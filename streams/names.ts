/**
 * External ids (apps, devices, users, rooms, ...) as NATS subject tokens, which may hold neither
 * spaces nor any of ". * >". The encoding is injective: a plain token never starts with "-",
 * an encoded one always does.
 */

const PLAIN = /^[A-Za-z0-9_]{1,64}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

export const MAX_ID_BYTES = 128;

/** Why `id` cannot be an id, or undefined when it can: 1-128 bytes of UTF-8, no control characters. */
export function idProblem(id: string): string | undefined {
  if (id.length === 0) return "must not be empty";
  // Three bytes is the most that one UTF-16 unit takes, so short strings need no counting.
  if (id.length * 3 > MAX_ID_BYTES && Buffer.byteLength(id) > MAX_ID_BYTES) {
    return `must be at most ${MAX_ID_BYTES} bytes`;
  }
  if (CONTROL.test(id)) return "must not hold control characters";
  if (!id.isWellFormed()) return "must be well-formed Unicode";
  return undefined;
}

/** One subject token for any id. */
export function toToken(id: string): string {
  return PLAIN.test(id) ? id : `-${Buffer.from(id, "utf8").toString("base64url")}`;
}

/** The id that `toToken` made this token from. */
export function fromToken(token: string): string {
  return token.startsWith("-") ? Buffer.from(token.slice(1), "base64url").toString("utf8") : token;
}
