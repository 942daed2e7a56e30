/** Business servers and clients as programs of their own, such as the examples, beside a gateway. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { eventually } from "./eventually.ts";
import { DEV_KEY, type GatewayProcess } from "./gateway.ts";
import { tied } from "./tied.ts";

export interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: readonly string[];
  /** Resolves when it has printed such a line. */
  printed(line: string): Promise<void>;
  /** Its exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>;
}

/** Where a gateway is, in the variables that examples/settings.ts reads. */
export async function settingsOf(gateway: GatewayProcess): Promise<Record<string, string>> {
  const natsUrl = await eventually("NATS is printed", () => {
    const [url] = /nats:\/\/127\.0\.0\.1:\d+/.exec(JSON.stringify(gateway.lines)) ?? [];
    return url;
  });
  return {
    HOLDFAST_DEV_KEY: DEV_KEY,
    HOLDFAST_CONTROL_URL: await gateway.address("control", "http"),
    HOLDFAST_PUSH_URL: await gateway.address("push", "http"),
    HOLDFAST_NATS_URL: natsUrl,
  };
}

export function startProgram(
  file: string,
  settings: Record<string, string>,
  args: readonly string[] = [],
): Program {
  const child = tied(
    spawn(process.execPath, [file, ...args], {
      env: { ...process.env, ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => lines.push(line));
  }
  const ended = new Promise<number | null>((done) => child.once("close", done));
  return {
    child,
    lines,
    ended,
    async printed(line) {
      await eventually(`${file} prints: ${line}`, () => {
        if (child.exitCode !== null) throw new Error(`${file} has ended:\n${lines.join("\n")}`);
        return lines.includes(line);
      });
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
