/** Finds a nats-server that is new enough, or fetches one: the first source that has it wins. */

import { homedir } from "node:os";
import { join } from "node:path";
import { HoldfastError } from "../status/errors.ts";
import { cacheSource } from "./cache.ts";
import { aptSource } from "./sources/apt.ts";
import { explicitSource } from "./sources/explicit.ts";
import { pathSource } from "./sources/path.ts";
import { RELEASE_SITE, releaseSource } from "./sources/release.ts";
import type { Source } from "./sources/source.ts";
import { MINIMUM_VERSION, type NatsBinary } from "./version.ts";

export interface AcquireOptions {
  /** A path that the operator named: it is used or it is an error, nothing else is tried. */
  explicit?: string | undefined;
  /** A PATH-like list of folders. */
  searchPath: string;
  /** Where fetched binaries are kept; see `defaultCacheDir`. */
  cacheDir: string;
  /** Where releases are fetched from. Default: the project's own site. */
  releaseSite?: string | undefined;
  /** Told what is being tried when it may take seconds. */
  onProgress?: ((message: string) => void) | undefined;
}

/** A found binary, and the name of the source that had it. */
export interface AcquiredNats extends NatsBinary {
  readonly source: string;
}

export async function acquireNatsServer(options: AcquireOptions): Promise<AcquiredNats> {
  const tried: string[] = [];
  for (const source of sourcesFor(options)) {
    try {
      return { ...(await source.find()), source: source.name };
    } catch (reason) {
      tried.push(`  - ${source.name}: ${HoldfastError.from(reason).message}`);
    }
  }
  throw new HoldfastError(
    "unavailable",
    [
      `no nats-server ${MINIMUM_VERSION} or newer could be found or fetched:`,
      ...tried,
      "Install one, or set HOLDFAST_NATS_SERVER to the path of one.",
    ].join("\n"),
  );
}

/** The usual place for a user's caches, given the environment variables. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "holdfast");
}

function sourcesFor(options: AcquireOptions): Source[] {
  const { explicit, searchPath, cacheDir, releaseSite = RELEASE_SITE, onProgress } = options;
  if (explicit !== undefined) return [explicitSource(explicit)];
  return [
    pathSource(searchPath),
    cacheSource(cacheDir),
    announced(releaseSource({ site: releaseSite, cacheDir }), onProgress),
    announced(aptSource({ cacheDir }), onProgress),
  ];
}

function announced(source: Source, onProgress: AcquireOptions["onProgress"]): Source {
  return {
    name: source.name,
    find() {
      onProgress?.(`fetching nats-server from ${source.name}`);
      return source.find();
    },
  };
}
