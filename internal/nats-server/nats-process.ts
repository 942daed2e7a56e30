/** One run of nats-server, from its start to its exit. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { HoldfastError } from "../status/errors.ts";
import { serverAnswers } from "./server-info.ts";

/** Long, because a server with a large store reads it before it answers. */
const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 5_000;
/** How many log lines an error about a failed start quotes. */
const QUOTED_LINES = 10;

export interface NatsProcessOptions {
  readonly binary: string;
  readonly configFile: string;
  /** As in the configuration file; they prove that the server answering there is this one. Default: loopback. */
  readonly host?: string | undefined;
  readonly port: number;
  readonly serverName: string;
  readonly onLog?: ((line: string) => void) | undefined;
  /** Told the process id at once, well before the server is ready. */
  readonly onSpawn?: ((pid: number) => void | Promise<void>) | undefined;
  /** Gives up a start in progress. */
  readonly signal?: AbortSignal | undefined;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface NatsProcess {
  readonly pid: number;
  readonly version: string;
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
  /** Asks it to end, makes it end when it does not, and waits until it has. */
  stop(): Promise<void>;
}

/** Starts a server and waits until it takes clients. */
export async function startNatsProcess(options: NatsProcessOptions): Promise<NatsProcess> {
  // Its own process group: a Ctrl-C in the terminal is for the gateway, which still needs NATS
  // to say goodbye.
  const child = spawn(options.binary, ["-c", options.configFile], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const pid = await pidOf(child, options.binary);
  const lastLines = followLog(child, options.onLog);

  const stop = async () => {
    child.kill("SIGTERM");
    const deadline = setTimeout(() => child.kill("SIGKILL"), STOP_WITHIN_MS);
    await exited;
    clearTimeout(deadline);
  };
  try {
    await options.onSpawn?.(pid);
    const version = await untilReady(options, exited, lastLines);
    return { pid, version, exited, kill: (signal) => void child.kill(signal), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function pidOf(child: ChildProcess, binary: string): Promise<number> {
  try {
    await once(child, "spawn");
    return child.pid as number;
  } catch (cause) {
    throw new HoldfastError("unavailable", `${binary} does not start`, { cause });
  }
}

/** Passes the log on and returns a reader of its last lines. */
function followLog(child: ChildProcess, onLog: NatsProcessOptions["onLog"]): () => string[] {
  let last: string[] = [];
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on("line", (line) => {
    last = [...last, line].slice(-QUOTED_LINES);
    onLog?.(line);
  });
  return () => last;
}

/** Resolves to the server's version. */
async function untilReady(
  options: NatsProcessOptions,
  exited: Promise<Exit>,
  lastLines: () => string[],
): Promise<string> {
  const died = new AbortController();
  void exited.then(({ code, signal }) => {
    const log = lastLines().map((line) => `\n  ${line}`);
    const how = signal ?? `code ${code}`;
    died.abort(
      new HoldfastError(
        "unavailable",
        `nats-server ended before it was ready (${how}):${log.join("")}`,
      ),
    );
  });
  const late = AbortSignal.timeout(READY_WITHIN_MS);
  const signals = [died.signal, late, ...(options.signal ? [options.signal] : [])];
  const info = await serverAnswers(options, AbortSignal.any(signals));
  return info.version;
}
