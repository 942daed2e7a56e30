/**
 * Names a process so that it can be recognised later from a file. A process id alone is not
 * enough: after a crash or a reboot the same id may belong to something else.
 */

import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";

export interface ProcessRecord {
  readonly pid: number;
  /** When the process started, in a form that is only good for comparing. */
  readonly startedAt: string;
}

/** Undefined when no such process runs. */
export async function recordOf(pid: number): Promise<ProcessRecord | undefined> {
  const startedAt = process.platform === "linux" ? await fromProc(pid) : await fromPs(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

export async function isRunning(record: ProcessRecord): Promise<boolean> {
  return (await recordOf(record.pid))?.startedAt === record.startedAt;
}

export async function writeRecord(file: string, record: ProcessRecord): Promise<void> {
  await writeFile(file, `${JSON.stringify(record)}\n`);
}

/** Undefined when the file is missing or was cut short by a crash. */
export async function readRecord(file: string): Promise<ProcessRecord | undefined> {
  try {
    const { pid, startedAt } = JSON.parse(await readFile(file, "utf8"));
    return Number.isInteger(pid) && typeof startedAt === "string" ? { pid, startedAt } : undefined;
  } catch {
    return undefined;
  }
}

async function fromProc(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    // The name in brackets may hold anything, so count from behind it: see proc_pid_stat(5).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startTicks] = [fields[0], fields[19]];
    if (state === "Z" || state === "X") return undefined;
    const bootId = await readFile("/proc/sys/kernel/random/boot_id", "latin1");
    return `${bootId.trim()} ${startTicks}`;
  } catch {
    return undefined;
  }
}

async function fromPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "stat=,lstart=", "-p", String(pid)]);
    const [, state, startedAt] = /^(\S+)\s+(.+)$/.exec(stdout.trim()) ?? [];
    return state?.startsWith("Z") ? undefined : startedAt;
  } catch {
    return undefined;
  }
}
