import { execFileSync } from "node:child_process";
import { cpus } from "node:os";

/** The first line of every bench: where and what was measured. */
export function printSetting(): void {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"]).toString().trim();
  const [cpu] = cpus();
  console.log(
    `${cpus().length} x ${cpu?.model ?? "CPU"}, Node ${process.version}, commit ${commit}`,
  );
}

/** A line for one figure; one that misses its target makes the exit code 1. */
export function report(what: string, figure: string, holds: boolean): void {
  console.log(`${holds ? "ok  " : "MISS"} ${what}: ${figure}`);
  if (!holds) process.exitCode = 1;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("a median of nothing");
  return middle;
}
