/** Runs gateway processes as an operator would, and talks to their public API. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { eventually } from "./eventually.ts";
import { tied } from "./tied.ts";

export const DEV_KEY = "k";

export type LogLine = { msg?: string; [field: string]: unknown };

export interface GatewayProcess {
  readonly child: ChildProcess;
  readonly dataDir: string;
  /** Everything it logged so far. */
  readonly lines: readonly LogLine[];
  /** Everything it printed so far, a line each. */
  readonly output: readonly string[];
  /** The address of a listener, such as `address("push", "http")`; waits for it. */
  address(role: string, transport: string): Promise<string>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it (SIGTERM unless told otherwise) and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const ANY_PORT = "127.0.0.1:0";

/** Starts `holdfast <command>` on free ports with a data folder of its own. */
export async function startGateway(
  command: string,
  env: Record<string, string> = {},
  args: string[] = [],
): Promise<GatewayProcess> {
  const dataDir = env.HOLDFAST_DATA_DIR ?? (await mkdtemp(join(tmpdir(), "holdfast-")));
  const child = tied(
    spawn(process.execPath, ["cmd/holdfast.ts", command, ...args], {
      env: {
        ...process.env,
        HOLDFAST_DATA_DIR: dataDir,
        HOLDFAST_DEV_KEY: DEV_KEY,
        HOLDFAST_CONTROL_LISTEN: ANY_PORT,
        HOLDFAST_PUSH_LISTEN: ANY_PORT,
        HOLDFAST_WS_LISTEN: ANY_PORT,
        HOLDFAST_TCP_LISTEN: ANY_PORT,
        HOLDFAST_METRICS_LISTEN: ANY_PORT,
        HOLDFAST_NATS_PORT: "0",
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  const lines: LogLine[] = [];
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      output.push(line);
      if (line.startsWith("{")) lines.push(JSON.parse(line) as LogLine);
    });
  }
  // "close" comes after "exit", when all that it said has been read.
  const ended = new Promise<void>((done) => child.once("close", () => done()));
  let over = false;
  void ended.then(() => {
    over = true;
  });
  const running = () => child.exitCode === null && child.signalCode === null;

  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (running()) child.kill(signal);
    await ended;
  };
  return {
    child,
    dataDir,
    lines,
    output,
    async address(role, transport) {
      const line = await eventually(`${command} listens for ${role} ${transport}`, () => {
        if (over) throw new Error(`${command} has ended:\n${output.slice(-20).join("\n")}`);
        return lines.find(
          (line) => line.msg === "listening" && line.role === role && line.transport === transport,
        );
      });
      return String(line.address);
    },
    signal: (signal) => void child.kill(signal),
    stop,
    async [Symbol.asyncDispose]() {
      // A stopped (SIGSTOP) process takes no SIGTERM.
      child.kill("SIGCONT");
      const forced = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await stop();
      clearTimeout(forced);
      if (env.HOLDFAST_DATA_DIR === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** One call of the JSON API. Rejects with the error's code and message unless the status is 200. */
export async function call<T = Record<string, unknown>>(
  base: string,
  method: string,
  body: unknown,
  key: string | null = DEV_KEY,
  signal: AbortSignal | null = null,
): Promise<T> {
  const response = await fetch(`${base}/${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(key !== null && { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(body),
    signal,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

export interface Admission {
  token: string;
  expiresAt: string;
  endpoints: { url: string; protocol: string; node: string; weight: number }[];
  /** When to connect; left out when it is at once. */
  afterMs?: number;
}

/** Asks again while there is no node that takes logins, as every client does. */
export function admit(
  control: string,
  device: string,
  user = "",
  app = "demo",
): Promise<Admission> {
  const method = "holdfast.control.v1.ControlService/Admit";
  const request = { app, device, user };
  return untilAvailable("Admit", () => call<Admission>(control, method, request));
}

/** Makes a call again as long as its answer is `unavailable`, which goes away by itself. */
export function untilAvailable<T extends object>(what: string, make: () => Promise<T>): Promise<T> {
  const again = (error: Error) => {
    if (!error.message.includes('"code":"unavailable"')) throw error;
    return undefined;
  };
  const answered = () => make().catch(again);
  return eventually(`${what} is answered`, answered, { everyMs: 100 }) as Promise<T>;
}

/** Resolves when `GET <base>/readyz` answers 200. */
export async function ready(base: string, withinMs = 30_000): Promise<void> {
  const isReady = async () => {
    const response = await fetch(`${base}/readyz`).catch(() => undefined);
    await response?.body?.cancel();
    return response?.status === 200;
  };
  await eventually(`${base} is ready`, isReady, { withinMs });
}
