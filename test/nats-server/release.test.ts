import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { acquireNatsServer } from "../../internal/nats-server/acquire.ts";
import { releaseSource } from "../../internal/nats-server/sources/release.ts";
import { RELEASE_VERSION } from "../../internal/nats-server/version.ts";
import { tempFolder } from "../support/temp-folder.ts";
import { fakeNatsServer } from "./fake-binary.ts";

const CPU = process.arch === "x64" ? "amd64" : process.arch;
const NAME = `nats-server-v${RELEASE_VERSION}-${process.platform}-${CPU}`;

/** Plays the release site: a map from path to content, anything else is 404. */
async function releaseSite(files: Record<string, Buffer | string>) {
  const server = createServer((request, response) => {
    const content = files[request.url ?? ""];
    response.writeHead(content === undefined ? 404 : 200).end(content);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** An archive as the project publishes it, with a fake server in it. */
async function releaseArchive(folder: string): Promise<Buffer> {
  const binary = await fakeNatsServer(join(folder, NAME, "nats-server"), RELEASE_VERSION);
  const archive = join(folder, "archive.tar.gz");
  await promisify(execFile)("tar", [
    "-czf",
    archive,
    "-C",
    folder,
    dirname(binary).slice(folder.length + 1),
  ]);
  return readFile(archive);
}

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

test("the release archive is fetched, checked and kept in the cache", async () => {
  await using folder = await tempFolder();
  const archive = await releaseArchive(folder.path);
  await using site = await releaseSite({
    [`/v${RELEASE_VERSION}/SHA256SUMS`]: `${"0".repeat(64)}  other.zip\n${sha256(archive)}  ${NAME}.tar.gz\n`,
    [`/v${RELEASE_VERSION}/${NAME}.tar.gz`]: archive,
  });
  const cacheDir = join(folder.path, "cache");
  const options = { searchPath: "", cacheDir, releaseSite: site.url };

  const found = await Promise.all([acquireNatsServer(options), acquireNatsServer(options)]);

  const path = join(cacheDir, "nats-server", RELEASE_VERSION, "nats-server");
  for (const each of found) {
    expect(each).toEqual({ path, version: RELEASE_VERSION, source: "the release site" });
  }
  expect(await readdir(join(cacheDir, "nats-server"))).toEqual([RELEASE_VERSION]);
  expect(await acquireNatsServer(options)).toMatchObject({ path, source: "the cache" });
});

test("an archive that does not match its published checksum is refused and not kept", async () => {
  await using folder = await tempFolder();
  const archive = await releaseArchive(folder.path);
  await using site = await releaseSite({
    [`/v${RELEASE_VERSION}/SHA256SUMS`]: `${"0".repeat(64)}  ${NAME}.tar.gz\n`,
    [`/v${RELEASE_VERSION}/${NAME}.tar.gz`]: archive,
  });
  const cacheDir = join(folder.path, "cache");

  const finding = releaseSource({ site: site.url, cacheDir }).find();

  await expect(finding).rejects.toThrow(/has the SHA-256 [0-9a-f]{64}, but 0{64} is published/);
  expect(await readdir(join(cacheDir, "nats-server"))).toEqual([]);
});

test("a release without an archive for this machine is refused", async () => {
  await using folder = await tempFolder();
  await using site = await releaseSite({ [`/v${RELEASE_VERSION}/SHA256SUMS`]: "\n" });
  const finding = releaseSource({ site: site.url, cacheDir: folder.path }).find();
  await expect(finding).rejects.toThrow(`lists no ${NAME}.tar.gz`);
});

test("a release site that refuses is named with its reason", async () => {
  await using folder = await tempFolder();
  await using site = await releaseSite({});
  const finding = releaseSource({ site: site.url, cacheDir: folder.path }).find();
  await expect(finding).rejects.toThrow(`${site.url}/v${RELEASE_VERSION}/SHA256SUMS: HTTP 404`);
});

test("a release site that never answers is given up after a few seconds", async () => {
  await using folder = await tempFolder();
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const site = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const startedAt = performance.now();

  await expect(releaseSource({ site, cacheDir: folder.path }).find()).rejects.toThrow(/timeout/);

  expect(performance.now() - startedAt).toBeLessThan(10_000);
  silent.closeAllConnections();
  silent.close();
});
