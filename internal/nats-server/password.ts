import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HoldfastError } from "../status/errors.ts";

/** The user of the embedded server that may do everything. */
export const EMBEDDED_USER = "holdfast";
/** Whom the embedded server takes those for who name no user. */
export const LOCAL_USER = "local";

/** Only for its owner: what is in it opens the secrets. */
export const SECRET_MODE = 0o600;

/** Letters and digits, so that it stands in URLs, shells and nats-server's configuration as it is. */
export function newPassword(): string {
  return randomBytes(24).toString("hex");
}

/** The password of the embedded server of a data folder; undefined: it has none yet, or is another's. */
export async function keptPassword(dataDir: string): Promise<string | undefined> {
  const kept = await readFile(fileOf(dataDir), "utf8").catch(() => "");
  return kept.trim() || undefined;
}

/** The same, made when there is none. */
export async function ensurePassword(dataDir: string): Promise<string> {
  const kept = await keptPassword(dataDir);
  if (kept !== undefined) return kept;
  const password = newPassword();
  try {
    await writeFile(fileOf(dataDir), `${password}\n`, { mode: SECRET_MODE });
  } catch (cause) {
    throw new HoldfastError("invalid", `${fileOf(dataDir)} cannot be written`, { cause });
  }
  return password;
}

function fileOf(dataDir: string): string {
  return join(dataDir, "nats-password");
}
