/** CPU time and memory of other processes, from /proc. */
import { readdirSync, readFileSync } from "node:fs";

/** In what Linux counts CPU time of processes. */
const TICKS_PER_SECOND = 100;

/** CPU seconds that a process and all its children have used so far; 0 for one that is gone. */
export function cpuSeconds(pid: number): number {
  return family(pid).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND;
}

/** Resident bytes of one process. */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

/** What each of them uses between two calls. */
export class CpuOf {
  readonly #pids: ReadonlyMap<string, readonly number[]>;
  #before = new Map<string, number>();

  /** By role. */
  constructor(pids: Readonly<Record<string, readonly number[]>>) {
    this.#pids = new Map(Object.entries(pids));
    this.since();
  }

  /** Seconds by role since the last call. */
  since(): Record<string, number> {
    const used: Record<string, number> = {};
    for (const [role, pids] of this.#pids) {
      const now = pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
      used[role] = Math.round((now - (this.#before.get(role) ?? 0)) * 10) / 10;
      this.#before.set(role, now);
    }
    return used;
  }
}

export function shownSeconds(used: Readonly<Record<string, number>>): string {
  return Object.entries(used)
    .map(([role, seconds]) => `${role} ${seconds.toFixed(1)} s`)
    .join(", ");
}

interface Stat {
  pid: number;
  parent: number;
  ticks: number;
}

function family(ancestor: number): Stat[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .map(statOf);
  const known = new Set([ancestor]);
  const members: Stat[] = [];
  // Children have higher ids than their parents, but for once around.
  for (const stat of all.filter((one) => one !== undefined).toSorted((a, b) => a.pid - b.pid)) {
    if (!known.has(stat.pid) && !known.has(stat.parent)) continue;
    known.add(stat.pid);
    members.push(stat);
  }
  return members;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return undefined;
  }
}
