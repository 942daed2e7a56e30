/** Which nats-server versions will do, and how to ask a binary for its own. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { HoldfastError } from "../status/errors.ts";

/** The oldest that has per-message TTL and batch direct get. */
export const MINIMUM_VERSION = "2.11.0";

/** The one fetched from the release site. */
export const RELEASE_VERSION = "2.15.1";

/** A nats-server that runs on this machine and is new enough. */
export interface NatsBinary {
  readonly path: string;
  readonly version: string;
}

/** Negative, zero or positive as `a` is older than, the same as or newer than `b`. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split(".").map(Number), b.split(".").map(Number)];
  const differing = left.findIndex((part, index) => part !== right[index]);
  return differing === -1 ? 0 : (left[differing] ?? 0) - (right[differing] ?? 0);
}

/** Runs the binary to learn its version; throws when it does not run or is too old. */
export async function inspect(path: string): Promise<NatsBinary> {
  const version = await askVersion(path);
  if (compareVersions(version, MINIMUM_VERSION) < 0) {
    throw new HoldfastError(
      "unsupported",
      `${path} is nats-server ${version}; ${MINIMUM_VERSION} or newer is needed`,
    );
  }
  return { path, version };
}

async function askVersion(path: string): Promise<string> {
  let output: string;
  try {
    output = (await promisify(execFile)(path, ["--version"], { timeout: 10_000 })).stdout;
  } catch (cause) {
    throw new HoldfastError("unavailable", `${path} ${whyNotRun(cause)}`, { cause });
  }
  const version = /nats-server: v?(\d+\.\d+\.\d+)/.exec(output)?.[1];
  if (version === undefined) {
    throw new HoldfastError("unavailable", `${path} does not answer --version as nats-server does`);
  }
  return version;
}

function whyNotRun(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT") return "does not exist";
  if (code === "EACCES") return "is not executable";
  return `does not run: ${message}`;
}
