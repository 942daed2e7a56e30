import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile, realpath, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { tempFolder } from "../support/temp-folder.ts";

const SCRIPTS = join(import.meta.dirname, "../../scripts");

/** Installs what the lock file says, as far as scripts/install.mjs can see, and counts its calls. */
const FAKE_NPM = `#!${process.execPath}
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
const failuresLeft = existsSync("npm-failures") ? readFileSync("npm-failures", "utf8").split("\\n") : [];
const calls = existsSync("npm-calls") ? readFileSync("npm-calls", "utf8").split("\\n").length - 1 : 0;
appendFileSync("npm-calls", process.argv.slice(2).join(" ") + "\\n");
if (failuresLeft[calls]) {
  console.error(failuresLeft[calls]);
  process.exit(1);
}
await new Promise((later) => setTimeout(later, 300));
rmSync("node_modules", { recursive: true, force: true });
mkdirSync("node_modules/.bin", { recursive: true });
symlinkSync(process.execPath, "node_modules/.bin/node");
const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
if (process.argv.includes("--omit=dev")) delete lock.packages["node_modules/tool"];
writeFileSync("node_modules/.package-lock.json", JSON.stringify(lock));
`;

/** A project with the real scripts, one dependency, and an npm that needs no network. */
async function project() {
  const folder = await tempFolder();
  const at = (...path: string[]) => join(folder.path, ...path);
  await mkdir(at("tools"), { recursive: true });
  await cp(SCRIPTS, at("scripts"), { recursive: true });
  await writeFile(at("tools/package.json"), '{"type":"module"}');
  await writeFile(at("tools/npm"), FAKE_NPM, { mode: 0o755 });
  await symlink(process.execPath, at("tools/node"));
  await writeManifest("1.0.0");
  await writeFile(at("hello.ts"), 'console.log("hello" as string);');

  async function writeManifest(version: string) {
    const project = { dependencies: { thing: version }, devDependencies: { tool: version } };
    const packages = {
      "": project,
      "node_modules/thing": { version },
      "node_modules/tool": { version, dev: true },
    };
    await writeFile(at("package.json"), JSON.stringify(project));
    await writeFile(at("package-lock.json"), JSON.stringify({ packages }));
  }

  function start(args: string[], env: Record<string, string> = {}): ChildProcess {
    const { npm_execpath: _, ...outer } = process.env;
    return spawn(process.execPath, [at("scripts/run.mjs"), ...args], {
      cwd: folder.path,
      env: { ...outer, PATH: `${at("tools")}${delimiter}${outer.PATH}`, ...env },
    });
  }

  return {
    at,
    writeManifest,
    start,
    async run(args: string[], env: Record<string, string> = {}) {
      const child = start(args, env);
      const [stdout, stderr, [code]] = await Promise.all([
        text(child.stdout!),
        text(child.stderr!),
        once(child, "exit"),
      ]);
      return { code, stdout, stderr };
    },
    npmCalls: async () =>
      (await readFile(at("npm-calls"), "utf8").catch(() => "")).split("\n").length - 1,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

test("a fresh clone installs its dependencies once and then runs what was asked", async () => {
  await using clone = await project();

  const first = await clone.run(["hello.ts"]);
  const second = await clone.run(["hello.ts"]);

  expect(first).toMatchObject({ code: 0, stdout: "hello\n" });
  expect(first.stderr).toContain("installing dependencies: nothing is installed yet");
  expect(second).toEqual({ code: 0, stdout: "hello\n", stderr: "" });
  expect(await clone.npmCalls()).toBe(1);
});

test("what only development needs is installed when it is first needed, and stays", async () => {
  await using clone = await project();

  expect(await clone.run(["--production", "hello.ts"])).toMatchObject({ stdout: "hello\n" });
  expect((await clone.run(["hello.ts"])).stderr).toContain("tool is missing");
  expect((await clone.run(["--production", "hello.ts"])).stderr).toBe("");
  expect(await clone.npmCalls()).toBe(2);
});

test("a dependency that only changed its purpose is not installed again", async () => {
  await using clone = await project();
  await clone.run(["hello.ts"]);
  const lock = JSON.parse(await readFile(clone.at("package-lock.json"), "utf8"));
  lock.packages["node_modules/thing"].dev = true;
  await writeFile(clone.at("package-lock.json"), JSON.stringify(lock));
  expect((await clone.run(["hello.ts"])).stderr).toBe("");
});

test("two commands started at the same time install only once", async () => {
  await using clone = await project();

  const results = await Promise.all([clone.run(["hello.ts"]), clone.run(["hello.ts"])]);

  expect(results.map(({ code, stdout }) => ({ code, stdout }))).toEqual([
    { code: 0, stdout: "hello\n" },
    { code: 0, stdout: "hello\n" },
  ]);
  expect(await clone.npmCalls()).toBe(1);
});

test("an install that was killed does not block the next one", async () => {
  await using clone = await project();
  await mkdir(clone.at(".holdfast"));
  await writeFile(clone.at(".holdfast/install.lock"), "4194999");
  expect(await clone.run(["hello.ts"])).toMatchObject({ code: 0 });
});

test("a changed lock file is noticed and installed", async () => {
  await using clone = await project();
  await clone.run(["hello.ts"]);
  await clone.writeManifest("1.0.1");

  const { stderr } = await clone.run(["hello.ts"]);

  expect(stderr).toContain("installing dependencies: thing is out of date");
  expect(await clone.npmCalls()).toBe(2);
});

test("a dependency that is written down but not locked yet is noticed", async () => {
  await using clone = await project();
  await clone.run(["hello.ts"]);
  await writeFile(clone.at("package.json"), '{"dependencies":{"thing":"1.0.0","other":"2.0.0"}}');
  const { stderr } = await clone.run(["hello.ts"]);
  expect(stderr).toContain("installing dependencies: dependencies changed");
});

test("a network that fails once does not stop the install", async () => {
  await using clone = await project();
  await writeFile(clone.at("npm-failures"), "npm error code ECONNRESET");

  const { code, stderr } = await clone.run(["hello.ts"]);

  expect(stderr).toContain("the network failed npm; trying once more");
  expect({ code, calls: await clone.npmCalls() }).toEqual({ code: 0, calls: 2 });
});

test("a network that keeps failing, and an npm that fails otherwise, are told apart", async () => {
  await using clone = await project();
  await writeFile(
    clone.at("npm-failures"),
    "npm error code ENOTFOUND\nnpm error code ENOTFOUND\nnpm error code EUSAGE",
  );

  expect(await clone.run(["hello.ts"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("could not reach its registry twice in a row"),
  });
  expect(await clone.run(["hello.ts"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("npm ci failed; its own message is above"),
  });
});

test("a machine without npm is told so", async () => {
  await using clone = await project();
  const { code, stderr } = await clone.run(["hello.ts"], { PATH: clone.at("nowhere") });
  expect(code).toBe(1);
  expect(stderr).toContain("npm is not on this machine's PATH");
});

test("a TypeScript file gets its arguments and Node's options, and its exit code is passed on", async () => {
  await using clone = await project();
  await writeFile(
    clone.at("exit.ts"),
    "console.log(JSON.stringify([process.execPath, process.execArgv, process.argv.slice(2)]));\nprocess.exitCode = 7;",
  );

  const { code, stdout } = await clone.run(["--no-warnings", "exit.ts", "--flag", "a b"]);

  expect(code).toBe(7);
  const pinned = await realpath(clone.at("node_modules/.bin/node"));
  expect(JSON.parse(stdout)).toEqual([pinned, ["--no-warnings"], ["--flag", "a b"]]);
});

test("a package's program runs on the pinned Node, and so do its children", async () => {
  await using clone = await project();
  await clone.run(["hello.ts"]);
  await writeFile(
    clone.at("node_modules/.bin/tool"),
    '#!/bin/sh\ncommand -v node\necho "$@"\nexit 3\n',
    {
      mode: 0o755,
    },
  );

  const { code, stdout } = await clone.run(["tool", "run", "--fast"]);

  expect(code).toBe(3);
  expect(stdout).toBe(`${clone.at("node_modules/.bin/node")}\nrun --fast\n`);
});

test.each(["SIGINT", "SIGTERM"] as const)("%s reaches the program", async (signal) => {
  await using clone = await project();
  await writeFile(
    clone.at("wait.ts"),
    `process.on("${signal}", () => process.exit(42)); setInterval(() => {}, 1000); console.log("ready");`,
  );
  const command = clone.start(["wait.ts"]);
  await once(command.stdout!, "data");

  command.kill(signal);

  expect(await once(command, "exit")).toEqual([42, null]);
});

test("a program ended by a signal gives the exit code that a shell would give", async () => {
  await using clone = await project();
  await writeFile(clone.at("die.ts"), 'process.kill(process.pid, "SIGKILL");');
  expect(await clone.run(["die.ts"])).toMatchObject({ code: 137 });
});

test("an unknown program, and no program at all, are explained", async () => {
  await using clone = await project();
  expect((await clone.run(["nope"])).stderr).toContain("no program named nope in node_modules");
  expect((await clone.run([])).stderr).toContain("what should run?");
});
