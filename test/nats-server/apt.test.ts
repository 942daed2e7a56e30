import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { acquireNatsServer } from "../../internal/nats-server/acquire.ts";
import { newestSuite } from "../../internal/nats-server/sources/apt-mirror.ts";
import { compareVersions, MINIMUM_VERSION } from "../../internal/nats-server/version.ts";
import { tempFolder } from "../support/temp-folder.ts";

const BOOKWORM = 'ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian GNU/Linux"\n';
const NOBLE = 'ID=ubuntu\nVERSION_CODENAME="noble"\n';

const osRelease = await readFile("/etc/os-release", "utf8").catch(() => "");

test("a machine that cannot reach the release site gets the distribution's newest package", async (context) => {
  context.skip(!/^ID=(debian|ubuntu)$/m.test(osRelease), "this machine is not Debian or Ubuntu");
  await using folder = await tempFolder();

  const found = await acquireNatsServer({
    searchPath: "",
    cacheDir: folder.path,
    releaseSite: "http://127.0.0.1:9",
  });

  expect(found.source).toBe("the distribution's packages");
  expect(found.path).toBe(join(folder.path, "nats-server", found.version, "nats-server"));
  expect(compareVersions(found.version, MINIMUM_VERSION)).toBeGreaterThanOrEqual(0);
}, 120_000);

test("the machine's own mirror and keys are kept, and only the suite becomes the newest", () => {
  const text = [
    "# the main archive",
    "Types: deb deb-src",
    "URIs: http://mirror.test/debian",
    "# a comment between fields",
    "Suites: bookworm bookworm-updates",
    "Components: main contrib",
    "Signed-By:",
    " -----BEGIN PGP PUBLIC KEY BLOCK-----",
    " .",
    " abc",
    "",
    "Types: deb",
    "URIs: http://mirror.test/debian-security",
    "Suites: bookworm-security",
    "Components: main",
  ].join("\n");

  expect(newestSuite([{ name: "debian.sources", text }], BOOKWORM)).toEqual({
    name: "newest.sources",
    text: [
      "types: deb",
      "uris: http://mirror.test/debian",
      "suites: sid",
      "components: main",
      "signed-by: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc",
      "",
    ].join("\n"),
  });
});

test("sources in apt's one-line form are understood", () => {
  const text = [
    "# deb http://old.test/debian bookworm main",
    "deb-src http://mirror.test/debian bookworm main",
    "deb [arch=amd64 signed-by=/keys/k.gpg] http://mirror.test/debian bookworm main # ours",
  ].join("\n");

  expect(newestSuite([{ name: "sources.list", text }], BOOKWORM)).toEqual({
    name: "newest.list",
    text: "deb [arch=amd64 signed-by=/keys/k.gpg] http://mirror.test/debian sid main\n",
  });
});

test("on Ubuntu the package comes from universe of the development suite", () => {
  const text =
    "Types: deb\nURIs: http://mirror.test/ubuntu\nSuites: noble\nComponents: main universe\n";

  expect(newestSuite([{ name: "ubuntu.sources", text }], NOBLE)?.text).toBe(
    "types: deb\nuris: http://mirror.test/ubuntu\nsuites: devel\ncomponents: universe\n",
  );
});

test("a repository of somebody else's packages is not taken for the distribution's", () => {
  const files = [
    { name: "a.list", text: "deb http://vendor.test/linux bookworm stable\n" },
    {
      name: "b.sources",
      text: "Types: deb\nURIs: http://vendor.test\nSuites: vendor\nComponents: main\n",
    },
    {
      name: "c.sources",
      text: "Types: deb\nEnabled: no\nURIs: http://off.test\nSuites: bookworm\nComponents: main\n",
    },
  ];

  expect(newestSuite(files, BOOKWORM)).toBeUndefined();
  expect(newestSuite(files, "ID=fedora\n")).toBeUndefined();
});
