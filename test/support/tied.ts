/**
 * Processes that end with this one, however it ends: a test that times out, and a worker that is killed, run
 * no clean-up. A small shell waits for its input to end, which the operating system does for every process
 * that dies, and then kills what it was told of. SIGKILL, because a process held with SIGSTOP hears nothing else.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";

/** Each line of input adds a process, "+<pid>", or takes one away that has ended, "-<pid>". */
const SCRIPT = `
  pids=" "
  while read -r line; do
    pid=\${line#?}
    case $line in
      +*) pids="$pids$pid " ;;
      -*) case $pids in *" $pid "*) pids="\${pids%%" $pid "*} \${pids#*" $pid "}" ;; esac ;;
    esac
  done
  for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
`;

let reaper: Socket | undefined;

/** Ties a child to this process, and gives it back. */
export function tied<C extends ChildProcess>(child: C): C {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return child;
  reaper ??= startReaper();
  const input = reaper;
  input.write(`+${pid}\n`);
  child.once("exit", () => input.write(`-${pid}\n`));
  return child;
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
