/**
 * The distribution's own package, from the newest suite of the mirror that this machine already
 * uses. Lists and downloads go to a folder of ours: it needs no root and changes nothing.
 */

import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { HoldfastError } from "../../status/errors.ts";
import { fetchIntoCache } from "../cache.ts";
import { newestSuite, type SourceFile } from "./apt-mirror.ts";
import type { Source } from "./source.ts";

const COMMAND_WITHIN_MS = 120_000;

export function aptSource(options: { cacheDir: string }): Source {
  return {
    name: "the distribution's packages",
    async find() {
      const osRelease = await readFile("/etc/os-release", "utf8").catch(() => "");
      const source = newestSuite(await configuredSources(), osRelease);
      if (source === undefined) {
        throw new HoldfastError("unsupported", "no Debian or Ubuntu mirror is configured here");
      }
      return fetchIntoCache(options.cacheDir, (scratch) => downloadPackage(source, scratch));
    },
  };
}

async function downloadPackage(source: SourceFile, scratch: string): Promise<string> {
  await writeFile(join(scratch, source.name), source.text);
  await mkdir(join(scratch, "lists", "partial"), { recursive: true });
  await mkdir(join(scratch, "cache", "archives", "partial"), { recursive: true });
  const settings = [
    `Dir::Etc::sourcelist=${join(scratch, source.name)}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::lists=${join(scratch, "lists")}`,
    `Dir::Cache=${join(scratch, "cache")}`,
    // As root, apt would switch to a user who may not enter our folder.
    "APT::Sandbox::User=root",
    // Pins of the administrator are about what gets installed, which nothing does here.
    "Dir::Etc::preferences=/dev/null",
    "Dir::Etc::preferencesparts=/dev/null",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
    "Acquire::http::Timeout=10",
    "Acquire::https::Timeout=10",
  ].flatMap((setting) => ["-o", setting]);

  await run("apt-get", ["-qq", ...settings, "update"], scratch);
  await run("apt-get", ["-qq", ...settings, "download", "nats-server"], scratch);
  const archive = (await readdir(scratch)).find((name) => name.endsWith(".deb"));
  if (archive === undefined) throw new HoldfastError("unavailable", "apt-get downloaded nothing");
  await run("dpkg", ["-x", archive, "unpacked"], scratch);
  return join(scratch, "unpacked", "usr", "sbin", "nats-server");
}

/** Every file of apt's source list, wherever this machine's apt keeps it. */
async function configuredSources(): Promise<SourceFile[]> {
  const answer = await run("apt-config", [
    "shell",
    "LIST",
    "Dir::Etc::sourcelist/f",
    "PARTS",
    "Dir::Etc::sourceparts/d",
  ]);
  const [, list = "", parts = ""] = /LIST='(.*)'\nPARTS='(.*)'/.exec(answer) ?? [];
  const names = await readdir(parts).catch(() => []);
  const files = [list, ...names.sort().map((name) => join(parts, name))];
  const readable = files.filter((name) => /\.(list|sources)$/.test(name));
  return Promise.all(
    readable.map(async (name) => ({ name, text: await readFile(name, "utf8").catch(() => "") })),
  );
}

async function run(command: string, args: string[], cwd?: string): Promise<string> {
  try {
    const options = { cwd, timeout: COMMAND_WITHIN_MS, maxBuffer: 64 * 1024 * 1024 };
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (cause) {
    const { code, stderr, message } = cause as NodeJS.ErrnoException & { stderr?: string };
    const why = code === "ENOENT" ? "not on this machine" : stderr?.trim() || message;
    throw new HoldfastError("unavailable", `${command}: ${why}`, { cause });
  }
}
