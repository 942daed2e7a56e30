import { createHash } from "node:crypto";

/** API keys are kept and compared as hashes: of equal length, and of no use to a reader of the bucket. */
export function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
