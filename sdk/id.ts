import { HoldfastSdkError } from "./error.ts";

const MAX_ID_BYTES = 128;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this looks for
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/**
 * The gateway closes a connection for good over a bad id, so it is refused here first.
 * Ids are 1-128 bytes of UTF-8 without control characters.
 */
export function checkId(what: string, id: string): string {
  const problem = idProblem(id);
  if (problem === undefined) return id;
  throw new HoldfastSdkError("invalid", `${what}: ${problem}`, { final: true });
}

function idProblem(id: string): string | undefined {
  if (id.length === 0) return "must not be empty";
  if (utf8Length(id) > MAX_ID_BYTES) return `must be at most ${MAX_ID_BYTES} bytes`;
  if (CONTROL.test(id)) return "must not hold control characters";
  return undefined;
}

/** The number of bytes of `text` in UTF-8. */
export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}
