/**
 * Brings node_modules in line with the lock file, at most once however many commands start at the
 * same time. What is installed is read from npm's own record of it, so an `npm install` by hand
 * counts and nothing is installed twice.
 */

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

const NETWORK_TROUBLE =
  /\b(ECONNRESET|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|ENETUNREACH|EIDLETIMEOUT|ERR_SOCKET_TIMEOUT|E5\d\d)\b/;
const RETRY_AFTER_MS = 2_000;

export class InstallError extends Error {}

/**
 * Why node_modules does not fit the lock file, or undefined when it does. With `production`, what
 * only development needs may be missing: a first start is twice as fast without it.
 */
export function staleBecause(root, { production }) {
  const installed = readJson(join(root, "node_modules", ".package-lock.json"))?.packages;
  if (installed === undefined) return "nothing is installed yet";
  if (!existsSync(join(root, "node_modules", ".bin", "node"))) return "the pinned Node is missing";

  const { "": project, ...wanted } = readJson(join(root, "package-lock.json"))?.packages ?? {};
  const manifest = readJson(join(root, "package.json")) ?? {};
  for (const kind of ["dependencies", "devDependencies"]) {
    if (!isDeepStrictEqual(manifest[kind], project?.[kind])) return `${kind} changed`;
  }
  for (const [path, entry] of Object.entries(wanted)) {
    const missing = installed[path] === undefined;
    if (missing && production && (entry.dev || entry.devOptional)) continue;
    if (missing ? !entry.optional : !sameRelease(installed[path], entry)) {
      return `${path.replace(/^node_modules\//, "")} is ${missing ? "missing" : "out of date"}`;
    }
  }
  return undefined;
}

/** Whether the files are the same; what needs them, and so npm's flags, may have changed. */
function sameRelease(installed, wanted) {
  return installed.version === wanted.version && installed.integrity === wanted.integrity;
}

export async function ensureInstalled(root, scope) {
  if (staleBecause(root, scope) === undefined) return;
  const release = await lock(join(root, ".holdfast", "install.lock"));
  try {
    // Another command may have installed everything while this one waited for the lock.
    const reason = staleBecause(root, scope);
    if (reason !== undefined) await install(root, scope, reason);
  } finally {
    release();
  }
}

async function install(root, scope, reason) {
  say(`installing dependencies: ${reason}`);
  let result = await npmCi(root, scope);
  if (result.code !== 0 && NETWORK_TROUBLE.test(result.stderr)) {
    say("the network failed npm; trying once more");
    await sleep(RETRY_AFTER_MS);
    result = await npmCi(root, scope);
  }
  if (result.code !== 0) {
    throw new InstallError(
      NETWORK_TROUBLE.test(result.stderr)
        ? "npm could not reach its registry twice in a row. Check the network, then try again."
        : "npm ci failed; its own message is above.",
    );
  }
  const remaining = staleBecause(root, scope);
  if (remaining !== undefined) {
    throw new InstallError(
      `npm ci succeeded, yet ${remaining}. Are install scripts switched off (npm config get ignore-scripts)?`,
    );
  }
}

/** Runs `npm ci`, its output on stderr: stdout belongs to the program that will run. */
function npmCi(root, { production }) {
  // Errors only: npm would warn of every package that wants a newer Node than the one starting us.
  const dev = production ? "--omit=dev" : "--include=dev";
  const args = ["ci", dev, "--no-audit", "--no-fund", "--loglevel=error"];
  // Inside an npm script, npm says where its own code is: that very npm, whatever PATH holds.
  const self = process.env.npm_execpath;
  const [command, commandArgs] = self?.endsWith(".js")
    ? [process.execPath, [self, ...args]]
    : ["npm", args];
  return new Promise((resolve, reject) => {
    const child = spawn(command, commandArgs, { cwd: root, stdio: ["ignore", 2, "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
      process.stderr.write(chunk);
    });
    child.on("close", (code) => resolve({ code, stderr }));
    child.on("error", (error) => {
      reject(
        error.code === "ENOENT"
          ? new InstallError("npm is not on this machine's PATH; install Node.js with npm.")
          : error,
      );
    });
  });
}

/** Waits for the lock file and takes it; a lock whose process is gone is taken over. */
async function lock(path) {
  mkdirSync(dirname(path), { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (abandoned(path)) {
      rmSync(path, { force: true });
      continue;
    }
    if (!waited) say("waiting for another command that installs dependencies");
    await sleep(200);
  }
}

function abandoned(path) {
  try {
    const holder = Number(readFileSync(path, "utf8"));
    // Freshly created and not written yet: its owner is alive and about to write its id.
    if (holder === 0) return Date.now() - statSync(path).mtimeMs > 5_000;
    process.kill(holder, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

function say(message) {
  process.stderr.write(`run: ${message}\n`);
}
