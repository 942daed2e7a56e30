/**
 * Builds the Docker image `holdfast-test-nats` from the nats-server on this machine, so that the
 * tests can run NATS in Docker where no image registry can be reached:
 *
 *     node scripts/run.mjs scripts/test-nats-image.ts
 *     HOLDFAST_TEST_NATS=docker HOLDFAST_TEST_NATS_IMAGE=holdfast-test-nats npm test
 */

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { acquireNatsServer, defaultCacheDir } from "../internal/nats-server/acquire.ts";

const IMAGE = "holdfast-test-nats";
const run = promisify(execFile);

/** What a binary needs at run time; nothing when it is linked statically. */
async function sharedLibraries(binary: string): Promise<string[]> {
  const { stdout } = await run("ldd", [binary]).catch(() => ({ stdout: "" }));
  return [...stdout.matchAll(/(?:=> |^\s*)(\/\S+)/gm)].map(([, path = ""]) => path);
}

const { path: binary, version } = await acquireNatsServer({
  explicit: process.env.HOLDFAST_NATS_SERVER,
  searchPath: process.env.PATH ?? "",
  cacheDir: defaultCacheDir(process.env),
  onProgress: console.log,
});
const folder = await mkdtemp(join(tmpdir(), "holdfast-image-"));
try {
  const root = join(folder, "root");
  await cp(binary, join(root, "nats-server"), { recursive: true });
  for (const library of await sharedLibraries(binary)) {
    await mkdir(dirname(join(root, library)), { recursive: true });
    await cp(library, join(root, library), { dereference: true });
  }
  const archive = join(folder, "root.tar");
  await run("tar", ["-cf", archive, "-C", root, "."]);
  await run("docker", ["import", "--change", 'ENTRYPOINT ["/nats-server"]', archive, IMAGE]);
  console.log(`${IMAGE} holds nats-server ${version}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
