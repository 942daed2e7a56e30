/** The project's own release archive, checked against the checksums published beside it. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { HoldfastError } from "../../status/errors.ts";
import { fetchIntoCache } from "../cache.ts";
import { RELEASE_VERSION } from "../version.ts";
import type { Source } from "./source.ts";

export const RELEASE_SITE = "https://github.com/nats-io/nats-server/releases/download";

/** Short, because a machine without a way to the site has another source to go to. */
const CHECKSUMS_WITHIN_MS = 5_000;
const ARCHIVE_WITHIN_MS = 120_000;

export function releaseSource(options: { site: string; cacheDir: string }): Source {
  return {
    name: "the release site",
    find: () =>
      fetchIntoCache(options.cacheDir, async (scratch) => {
        const archive = `nats-server-v${RELEASE_VERSION}-${platform()}.tar.gz`;
        const base = `${options.site}/v${RELEASE_VERSION}`;
        const expected = await publishedChecksum(`${base}/SHA256SUMS`, archive);
        const file = join(scratch, archive);
        const actual = await download(`${base}/${archive}`, file);
        if (actual !== expected) {
          throw new HoldfastError(
            "unavailable",
            `${archive} has the SHA-256 ${actual}, but ${expected} is published`,
          );
        }
        await promisify(execFile)("tar", ["-xzf", file, "-C", scratch, "--strip-components=1"]);
        return join(scratch, "nats-server");
      }),
  };
}

/** The release's name for this machine. */
function platform(): string {
  const cpu = { x64: "amd64", arm64: "arm64" }[process.arch as string];
  if (cpu === undefined || !["linux", "darwin"].includes(process.platform)) {
    throw new HoldfastError(
      "unsupported",
      `no archive is fetched for ${process.platform} on ${process.arch}`,
    );
  }
  return `${process.platform}-${cpu}`;
}

async function publishedChecksum(url: string, archive: string): Promise<string> {
  const response = await get(url, CHECKSUMS_WITHIN_MS);
  const lines = (await response.text()).split("\n").map((line) => line.trim().split(/\s+\*?/));
  const checksum = lines.find(([, name]) => name === archive)?.[0];
  if (checksum === undefined) {
    throw new HoldfastError("unavailable", `${url} lists no ${archive}`);
  }
  return checksum.toLowerCase();
}

/** Saves what is at `url` and returns its SHA-256 in hex. */
async function download(url: string, file: string): Promise<string> {
  const response = await get(url, ARCHIVE_WITHIN_MS);
  const hash = createHash("sha256");
  await pipeline(
    Readable.fromWeb(response.body ?? new ReadableStream()),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    },
    createWriteStream(file),
  );
  return hash.digest("hex");
}

async function get(url: string, withinMs: number): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(withinMs) });
  } catch (cause) {
    const { message } = ((cause as Error).cause ?? cause) as Error;
    throw new HoldfastError("unavailable", `${url}: ${message}`, { cause });
  }
  if (!response.ok) throw new HoldfastError("unavailable", `${url}: HTTP ${response.status}`);
  return response;
}
