import { Writable } from "node:stream";
import pino from "pino";
import type { Logger } from "../../internal/observe/logger.ts";

/** For parts that want a logger where the test does not look at what they say. */
export const quietLogger: Logger = pino({ level: "silent" });

/** A logger and what it wrote, parsed. */
export function recordingLogger(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  return { log: pino({ level: "debug" }, sink), lines };
}
