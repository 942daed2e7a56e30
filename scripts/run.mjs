#!/usr/bin/env node
/**
 * Runs a TypeScript file or a package's program on the Node version that this project pins:
 *
 *     node scripts/run.mjs [--production] [node options] cmd/holdfast.ts all
 *     node scripts/run.mjs vitest run
 *
 * The dependencies are installed first when they are missing or out of date, so a fresh clone
 * needs nothing but the Node and npm that started this file. With --production, those for
 * development may stay away.
 */

import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureInstalled, InstallError } from "./install.mjs";

const OLDEST_NODE = 20;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, "node_modules", ".bin");

function fail(message) {
  process.stderr.write(`run: ${message}\n`);
  process.exit(1);
}

/** The program to start and its arguments, for what was asked on the command line. */
function commandFor(args) {
  const at = args.findIndex((argument) => !argument.startsWith("-"));
  if (at === -1) fail("what should run? Give a .ts file or the name of a program in node_modules.");
  const [target, ...rest] = args.slice(at);
  if (target.endsWith(".ts")) {
    // The real binary and not the link to it: what gets our signals is then Node itself.
    return [realpathSync(join(bin, "node")), [...args.slice(0, at), target, ...rest]];
  }
  if (at > 0) fail(`${args[0]}: options for Node only make sense before a .ts file.`);
  if (!existsSync(join(bin, target))) fail(`no program named ${target} in node_modules.`);
  return [join(bin, target), rest];
}

/** Runs the child to its end and ends this process the same way. */
function run(command, args) {
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
  const child = spawn(command, args, { stdio: "inherit", env });
  const forward = (signal) => child.kill(signal);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
  child.on("error", (error) => fail(`cannot start ${command}: ${error.message}`));
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

const major = Number(process.versions.node.split(".")[0]);
if (major < OLDEST_NODE) {
  fail(`this project needs Node ${OLDEST_NODE} or newer to start; this is ${process.version}.`);
}
const production = process.argv[2] === "--production";
try {
  await ensureInstalled(root, { production });
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  fail(error.message);
}
run(...commandFor(process.argv.slice(production ? 3 : 2)));
