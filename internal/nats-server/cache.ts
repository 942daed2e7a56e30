/**
 * Fetched binaries, kept outside the checkout so that every clone on a machine shares them:
 * `<cache folder>/nats-server/<version>/nats-server`.
 */

import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { HoldfastError } from "../status/errors.ts";
import { makeFolder } from "./data-folder.ts";
import type { Source } from "./sources/source.ts";
import { compareVersions, inspect, MINIMUM_VERSION, type NatsBinary } from "./version.ts";

/** The newest cached binary. */
export function cacheSource(cacheDir: string): Source {
  return {
    name: "the cache",
    async find() {
      const folder = join(cacheDir, "nats-server");
      const versions = (await readdir(folder).catch(() => []))
        .filter((name) => /^\d+\.\d+\.\d+$/.test(name))
        .filter((version) => compareVersions(version, MINIMUM_VERSION) >= 0)
        .sort(compareVersions);
      const newest = versions.at(-1);
      if (newest === undefined) throw new HoldfastError("not-found", `nothing in ${folder}`);
      return inspect(join(folder, newest, "nats-server"));
    },
  };
}

/**
 * Lets `fetch` put a binary into a scratch folder and say where; checks it and moves it to its
 * place. The scratch folder is in the cache itself, so the move is an atomic rename: a binary in
 * the cache is always whole, whoever else is fetching the same one.
 */
export async function fetchIntoCache(
  cacheDir: string,
  fetch: (scratch: string) => Promise<string>,
): Promise<NatsBinary> {
  const folder = join(cacheDir, "nats-server");
  await makeFolder(folder);
  const scratch = await mkdtemp(join(folder, ".fetching-"));
  try {
    const fetched = await inspect(await fetch(scratch));
    const path = join(folder, fetched.version, "nats-server");
    await makeFolder(join(folder, fetched.version));
    await rename(fetched.path, path);
    return { path, version: fetched.version };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
