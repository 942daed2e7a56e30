/** The only file that touches the process: signals, and faults that nobody caught. */
import type { Config } from "../internal/config/options.ts";
import { createLogger, type Logger } from "../internal/observe/logger.ts";
import { createRegistry } from "../internal/observe/metrics.ts";
import { serveMetrics } from "./metrics.ts";
import { forRole, type Role } from "./role.ts";

/** How long a stop may take before the process ends all the same. */
const STOP_DEADLINE_MS = 20_000;
/** The same for one that is still starting: whatever it waits for may not know of the stop. */
const START_DEADLINE_MS = 5_000;
/** One Ctrl-C comes twice, from the terminal and from npm; later than this it is a second one. */
const SAME_SIGNAL_MS = 1_000;

/** Runs a role until the process is asked to stop, and stops it. */
export async function runUntilSignal(name: string, config: Config, run: Role): Promise<void> {
  const log = createLogger(config.logLevel);
  const signal = stopSignal(log);
  process.on("unhandledRejection", (error) => {
    log.error({ err: error }, "a promise was rejected and nobody looked");
  });
  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    process.exit(70);
  });

  const context = { config, log, registry: createRegistry(), signal };
  let giveUp: NodeJS.Timeout | undefined;
  const asked = () => {
    giveUp = endIn(START_DEADLINE_MS, log);
  };
  signal.addEventListener("abort", asked, { once: true });
  const running = await run(context).catch((reason) => {
    if (!signal.aborted) throw reason;
    log.info("stopped while starting");
    process.exit(0);
  });
  const metrics = await serveMetrics(forRole(name, context), () => running.ready());
  if (!signal.aborted) {
    await new Promise((done) => signal.addEventListener("abort", done, { once: true }));
  }
  clearTimeout(giveUp);
  endIn(STOP_DEADLINE_MS + config.drainSeconds * 1_000, log);
  await running[Symbol.asyncDispose]();
  await metrics[Symbol.asyncDispose]();
  log.info("stopped");
  process.exit(0);
}

function endIn(ms: number, log: Logger): NodeJS.Timeout {
  const tooLate = () => {
    log.error("could not stop in time");
    process.exit(1);
  };
  return setTimeout(tooLate, ms).unref();
}

function stopSignal(log: Logger): AbortSignal {
  const stopping = new AbortController();
  let askedAt = Number.POSITIVE_INFINITY;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (performance.now() - askedAt > SAME_SIGNAL_MS) process.exit(130);
      if (stopping.signal.aborted) return;
      askedAt = performance.now();
      log.info({ signal: name }, "stopping; once more to stop at once");
      stopping.abort();
    });
  }
  // A worker ends with the process that started it.
  if (process.connected) process.once("disconnect", () => stopping.abort());
  return stopping.signal;
}
