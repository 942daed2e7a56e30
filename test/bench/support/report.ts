import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";

interface Figure {
  what: string;
  figure: string;
  holds: boolean;
}

const figures: Figure[] = [];
const details: Record<string, unknown> = {};
const startedAt = new Date();

/** The first line of every bench: where and what was measured. */
export function printSetting(): void {
  const { processors, processor, node, commit } = setting();
  console.log(`${processors} x ${processor}, Node ${node}, commit ${commit}`);
}

/** A line for one figure; one that misses its target makes the exit code 1. */
export function report(what: string, figure: string, holds: boolean): void {
  console.log(`${holds ? "ok  " : "MISS"} ${what}: ${figure}`);
  figures.push({ what, figure, holds });
  if (!holds) process.exitCode = 1;
}

/** A figure without a target. */
export function note(what: string, figure: string): void {
  console.log(`     ${what}: ${figure}`);
  figures.push({ what, figure, holds: true });
}

/** What was counted, for the JSON file only. */
export function keep(what: string, counted: unknown): void {
  details[what] = counted;
}

/** A line that says how far a bench has come, at most one each `everyMs`. */
export function progress(everyMs: number): (line: () => string) => void {
  const began = performance.now();
  let next = 0;
  return (line) => {
    const now = performance.now();
    if (now < next) return;
    next = now + everyMs;
    console.log(`[${((now - began) / 1_000).toFixed(0).padStart(4)} s] ${line()}`);
  };
}

/** Writes everything that was reported, with where and how it was measured. */
export function writeJson(file: string | undefined, versions: Record<string, string>): void {
  if (file === undefined) return;
  const { node, commit, ...machine } = setting();
  const command = ["npm run bench --", ...process.argv.slice(1).map(benchName)].join(" ");
  const written = {
    command,
    startedAt: startedAt.toISOString(),
    seconds: Math.round((Date.now() - startedAt.getTime()) / 1_000),
    commit,
    machine,
    versions: { node, ...versions },
    passed: figures.every(({ holds }) => holds),
    figures,
    ...details,
  };
  writeFileSync(file, `${JSON.stringify(written, null, 2)}\n`);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("a median of nothing");
  return middle;
}

function setting() {
  const git = (...args: string[]) => execFileSync("git", args).toString().trim();
  const [cpu] = cpus();
  const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
  return {
    processors: cpus().length,
    processor: cpu?.model ?? "CPU",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    loadAverage: loadavg().map((load) => Math.round(load * 10) / 10),
    node: process.version,
    commit: `${git("rev-parse", "--short", "HEAD")}${changed ? " with changes" : ""}`,
  };
}

/** "…/test/bench/overload.ts" → "overload". */
function benchName(argument: string, index: number): string {
  return index === 0 ? (argument.split("/").at(-1)?.replace(/\.ts$/, "") ?? "") : argument;
}
