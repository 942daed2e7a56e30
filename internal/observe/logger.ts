import pino from "pino";

export type Logger = pino.Logger;

/** One JSON object a line on standard output. Secrets are redacted wherever they appear by name. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: ["token", "*.token", "authorization", "*.authorization", "key", "*.key"],
      censor: "[redacted]",
    },
  });
}

/**
 * The line that tells where a role, named in every line of its log, can be reached. Programs that start the gateway on port 0 wait
 * for it, so it is printed at every log level.
 */
export function announceListening(
  log: Logger,
  listening: { transport: string; address: string; user?: string; password?: string },
): void {
  log.child({}, { level: "info" }).info(listening, "listening");
}
