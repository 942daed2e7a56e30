import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { acquireNatsServer, defaultCacheDir } from "../../internal/nats-server/acquire.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { fakeNatsServer } from "./fake-binary.ts";

test("a nats-server named by the operator is used, whatever else there is", async () => {
  await using folder = await tempFolder();
  const explicit = await fakeNatsServer(join(folder.path, "mine"), "2.11.0");
  await fakeNatsServer(join(folder.path, "bin/nats-server"), "2.15.0");

  const found = await acquireNatsServer({
    explicit,
    searchPath: join(folder.path, "bin"),
    cacheDir: folder.path,
  });

  expect(found).toEqual({ path: explicit, version: "2.11.0", source: "HOLDFAST_NATS_SERVER" });
});

test.each([
  ["is missing", async () => {}, /HOLDFAST_NATS_SERVER: .*mine does not exist/],
  [
    "is not executable",
    async (path: string) => chmod(await fakeNatsServer(path, "2.15.1"), 0o644),
    /mine is not executable/,
  ],
  [
    "is too old",
    async (path: string) => void (await fakeNatsServer(path, "2.9.10")),
    /mine is nats-server 2\.9\.10; 2\.11\.0 or newer is needed/,
  ],
  [
    "is another program",
    async (path: string) => {
      await writeFile(path, "#!/bin/sh\necho hello\n", { mode: 0o755 });
    },
    /does not answer --version as nats-server does/,
  ],
])("a named nats-server that %s is an error, and no other is tried", async (_, make, message) => {
  await using folder = await tempFolder();
  const explicit = join(folder.path, "mine");
  await make(explicit);
  await fakeNatsServer(join(folder.path, "bin/nats-server"), "2.15.0");

  const acquiring = acquireNatsServer({
    explicit,
    searchPath: join(folder.path, "bin"),
    cacheDir: folder.path,
  });

  await expect(acquiring).rejects.toMatchObject({ code: "unavailable" });
  await expect(acquiring).rejects.toThrow(message);
  await expect(acquiring).rejects.toThrow("set HOLDFAST_NATS_SERVER to the path of one");
});

test("the first nats-server on the PATH is used when it is new enough", async () => {
  await using folder = await tempFolder();
  await mkdir(join(folder.path, "empty"));
  const path = await fakeNatsServer(join(folder.path, "bin/nats-server"), "2.12.3");

  const found = await acquireNatsServer({
    searchPath: `${join(folder.path, "empty")}:${join(folder.path, "bin")}`,
    cacheDir: folder.path,
  });

  expect(found).toEqual({ path, version: "2.12.3", source: "PATH" });
});

test("a nats-server on the PATH that is too old gives way to the newest in the cache", async () => {
  await using folder = await tempFolder();
  const cacheDir = join(folder.path, "cache");
  await fakeNatsServer(join(folder.path, "bin/nats-server"), "2.9.10");
  await fakeNatsServer(join(cacheDir, "nats-server/2.9.99/nats-server"), "2.9.99");
  await fakeNatsServer(join(cacheDir, "nats-server/2.15.1/nats-server"), "2.15.1");
  await fakeNatsServer(join(cacheDir, "nats-server/2.16.0/nats-server"), "2.16.0");
  const path = await fakeNatsServer(join(cacheDir, "nats-server/2.100.0/nats-server"), "2.100.0");

  const found = await acquireNatsServer({ searchPath: join(folder.path, "bin"), cacheDir });

  expect(found).toEqual({ path, version: "2.100.0", source: "the cache" });
});

test("the cache is where the user's other caches are", () => {
  expect(defaultCacheDir({ XDG_CACHE_HOME: "/caches" })).toBe("/caches/holdfast");
  expect(defaultCacheDir({})).toMatch(/\/\.cache\/holdfast$/);
});
