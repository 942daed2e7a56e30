/**
 * Processes that end with this one, however it ends: a test that times out, and a worker that is killed, run
 * no clean-up. A small shell waits for its input to end, which the operating system does for every process
 * that dies, and then kills what it was told of. SIGKILL, because a process held with SIGSTOP hears nothing else.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";

/**
 * Each line of input adds a process, "+<pid>", or takes one away that has ended, "-<pid>", or adds a command that
 * clears away what is no process, "!<command>".
 */
const SCRIPT = `
  pids=" "
  commands=:
  while read -r line; do
    pid=\${line#?}
    case $line in
      +*) pids="$pids$pid " ;;
      !*) commands="$commands; $pid" ;;
      -*) case $pids in *" $pid "*) pids="\${pids%%" $pid "*} \${pids#*" $pid "}" ;; esac ;;
    esac
  done
  for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
  eval "$commands"
`;

let reaper: Socket | undefined;

/** Ties a child to this process, and gives it back. */
export function tied<C extends ChildProcess>(child: C): C {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return child;
  const input = theReaper();
  input.write(`+${pid}\n`);
  child.once("exit", () => input.write(`-${pid}\n`));
  return child;
}

/** Has a command of one line run when this process is gone, also if it was run before: mounts, network namespaces. */
export function tiedCommand(command: string): void {
  theReaper().write(`!${command}\n`);
}

function theReaper(): Socket {
  reaper ??= startReaper();
  return reaper;
}

function startReaper(): Socket {
  // A process group of its own, so that a Ctrl-C in the terminal does not end it first.
  const shell = spawn("/bin/sh", ["-c", SCRIPT], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  const input = shell.stdin as Socket;
  // A shell that somebody killed is no reason to fail: it is the second line of defence.
  input.on("error", () => {});
  shell.on("error", () => {});
  shell.unref();
  input.unref();
  return input;
}
