import { readFile, rm, writeFile } from "node:fs/promises";
import { EMBEDDED_USER, newPassword, SECRET_MODE } from "../../internal/nats-server/password.ts";
import { type BusinessName, businessPermissions } from "../../internal/nats-server/permissions.ts";
import { type ServerUser, serverConfig } from "../../internal/nats-server/server-config.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { toToken } from "../../streams/names.ts";
import type { NatsConfigFlags } from "./command.ts";

/**
 * Passwords are plain text unless the password file has their bcrypt hashes (`nats server passwd` makes such): nothing
 * else here needs bcrypt, and whoever can read the file of the server can read its store as well.
 */
export async function printNatsConfig(flags: NatsConfigFlags): Promise<void> {
  const { business = [], passwordFile, out, host, port, storeDir } = flags;
  const passwords = await passwordsOf(passwordFile);
  const names = [EMBEDDED_USER, ...business.map(userOf)];
  const missing = names.filter((user) => !passwords.has(user));
  for (const user of missing) passwords.set(user, newPassword());
  if (passwordFile !== undefined && missing.length > 0) {
    await writeSecret(passwordFile, [...passwords].map((pair) => `${pair.join(" ")}\n`).join(""));
  }
  const password = (user: string) => passwords.get(user) ?? "";
  const users: ServerUser[] = [{ user: EMBEDDED_USER, password: password(EMBEDDED_USER) }];
  const known = new Set(names.slice(0, 1));
  for (const one of business) {
    const user = userOf(one);
    if (known.has(user)) continue;
    known.add(user);
    users.push({ user, password: password(user), permissions: businessPermissions(one) });
  }
  const config = serverConfig({ serverName: "holdfast", host, port, storeDir, users });
  // nats-server reads JSON with comments.
  const text = `# ${HEADING}\n${JSON.stringify(config, null, 2)}\n`;
  if (out === undefined) {
    process.stdout.write(text);
    return;
  }
  await writeSecret(out, text);
  for (const user of missing) console.log(`${user} ${password(user)}`);
}

const HEADING =
  "Keep this file to yourself (chmod 600): the passwords are in it. Run: nats-server -c <this file>";

/** A user's name, which no other business has: tokens hold no dot. */
function userOf({ app, business }: BusinessName): string {
  return `${toToken(app)}.${toToken(business)}`;
}

async function passwordsOf(file: string | undefined): Promise<Map<string, string>> {
  if (file === undefined) return new Map();
  const text = await readFile(file, "utf8").catch((reason: NodeJS.ErrnoException) => {
    if (reason.code === "ENOENT") return "";
    throw new HoldfastError("invalid", `--password-file: ${reason.message}`, { cause: reason });
  });
  const passwords = new Map<string, string>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [user = "", password, ...rest] = line.trim().split(/\s+/);
    if (password === undefined || rest.length > 0) {
      throw new HoldfastError("invalid", `--password-file: line ${index + 1}: not "user password"`);
    }
    passwords.set(user, password);
  }
  return passwords;
}

async function writeSecret(file: string, text: string): Promise<void> {
  // Made anew: the mode is only looked at when a file is made.
  await rm(file, { force: true });
  await writeFile(file, text, { mode: SECRET_MODE }).catch((cause) => {
    throw new HoldfastError("invalid", `${file} cannot be written: ${cause}`, { cause });
  });
}
