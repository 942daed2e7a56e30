/**
 * Ends a process when this one is gone, however this one went. No handler runs on SIGKILL, so
 * somebody else must notice: a small shell that waits for its input to end, which the operating
 * system does for every process that dies.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { HoldfastError } from "../status/errors.ts";

/** Each line of input names the process to end, an empty one names none. */
const SCRIPT = `
  while read -r line; do pid=$line; done
  [ -n "$pid" ] && kill -TERM "$pid" && sleep 3 && kill -KILL "$pid"
`;

export interface Watchdog extends AsyncDisposable {
  /** Ends this process, instead of the one named before, should we die. */
  guard(pid: number): void;
  /** Ends nothing: the guarded process is gone, and its id may come to belong to another. */
  release(): void;
}

export async function startWatchdog(): Promise<Watchdog> {
  // Its own process group, so that a Ctrl-C in the terminal does not end it first.
  const shell = spawn("/bin/sh", ["-c", SCRIPT], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const input = shell.stdin as Socket;
  // A shell that somebody killed is no reason to fail: it is the second line of defence.
  input.on("error", () => {});
  try {
    await once(shell, "spawn");
  } catch (cause) {
    throw new HoldfastError("unavailable", "the watchdog needs /bin/sh", { cause });
  }
  // It must not keep this process alive that it only watches.
  shell.unref();
  input.unref();
  return {
    guard: (pid) => void input.write(`${pid}\n`),
    release: () => void input.write("\n"),
    async [Symbol.asyncDispose]() {
      shell.ref();
      input.end("\n");
      if (shell.exitCode === null && shell.signalCode === null) await once(shell, "exit");
    },
  };
}
