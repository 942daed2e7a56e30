import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import {
  type Config,
  envName,
  flagName,
  type ListenAddress,
} from "../../internal/config/options.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import type { RoleContext, Running } from "../role.ts";
import { defaultNodeName } from "./node-name.ts";

const RESTART_MS = 1_000;
/** Less than what this process is given for its own stop. */
const STOP_PATIENCE_MS = 17_000;

/**
 * Access nodes in processes of their own that share the client ports; the kernel spreads the
 * connections over them. Each is a node like any other, with an incarnation of its own, so one
 * that dies is treated like any dead node, and another is started in its place.
 */
export async function runWorkers(context: RoleContext): Promise<Running> {
  const { config, log, signal } = context;
  const shared = [
    ...[flagName("workers"), "1"],
    ...[flagName("sharePorts"), "true"],
    ...[flagName("wsListen"), await fixedPort(config.wsListen)],
    ...[flagName("tcpListen"), await fixedPort(config.tcpListen)],
  ];
  const workers = new Set<ChildProcess>();

  const start = (number: number) => {
    const name = `${config.nodeName ?? defaultNodeName()}_w${number}`;
    const own = [
      ...[flagName("nodeName"), name],
      ...[flagName("metricsListen"), portAfter(config.metricsListen, number)],
    ];
    const worker = spawn(process.execPath, [...asAccess(process.argv), ...shared, ...own], {
      // The channel's end tells a worker that this process is gone.
      // Not among its arguments, which everybody on the machine can read.
      env: { ...process.env, ...natsOf(config) },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    workers.add(worker);
    log.info({ worker: name, pid: worker.pid }, "access worker started");
    worker.once("exit", (code, killedBy) => {
      workers.delete(worker);
      if (signal.aborted) return;
      log.error({ worker: name, code, killedBy }, "an access worker has ended; starting another");
      setTimeout(() => signal.aborted || start(number), RESTART_MS).unref();
    });
  };
  for (let number = 1; number <= config.workers; number++) start(number);

  return {
    // Each worker answers for itself; whether it takes logins is in its beats.
    ready: () => workers.size === config.workers,
    async [Symbol.asyncDispose]() {
      const ends = [...workers].map((worker) => once(worker, "exit"));
      for (const worker of workers) worker.kill("SIGTERM");
      const forced = setTimeout(
        () => {
          // Stopped by a debugger, or stuck: nothing of it may be left behind.
          for (const worker of workers) worker.kill("SIGKILL");
        },
        STOP_PATIENCE_MS + config.drainSeconds * 1_000,
      );
      await Promise.all(ends);
      clearTimeout(forced);
    },
  };
}

/** A URL may hold a password too. What this process was given as a flag the worker gets as the same flag. */
function natsOf({ natsUrl, natsUser, natsPassword }: Config): Record<string, string> {
  return {
    ...(natsUrl !== undefined && { [envName("natsUrl")]: natsUrl.join(",") }),
    ...(natsUser !== undefined && { [envName("natsUser")]: natsUser }),
    ...(natsPassword !== undefined && { [envName("natsPassword")]: natsPassword }),
  };
}

/** This process's own arguments, whatever its command, for role access; a later flag wins over an earlier. */
function asAccess(argv: readonly string[]): string[] {
  const [, script = "", , ...flags] = argv;
  return [script, "access", ...flags];
}

/** All workers must have the same port, so "any" is decided here. */
async function fixedPort({ host, port }: ListenAddress): Promise<string> {
  if (port !== 0) return hostPort(host, port);
  const probe = createServer().listen(0, host);
  await once(probe, "listening");
  const bound = probe.address();
  probe.close();
  if (bound === null || typeof bound === "string") {
    throw new HoldfastError("internal", "a TCP server without an address");
  }
  return hostPort(host, bound.port);
}

function portAfter({ host, port }: ListenAddress, offset: number): string {
  return hostPort(host, port === 0 ? 0 : port + offset);
}

function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
