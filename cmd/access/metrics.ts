import { Counter, type Registry } from "prom-client";
import type { AccessMetrics } from "../../internal/access/metrics.ts";
import { exposeNumbers } from "../../internal/observe/metrics.ts";

export function exposeAccessMetrics(
  registry: Registry,
  metrics: AccessMetrics,
  logBacklog: () => number,
): void {
  exposeNumbers(registry, "access", {
    gauges: () => {
      const { connections, sessions, rooms } = metrics;
      return { connections, sessions, rooms, logBacklog: logBacklog() };
    },
    counters: () => {
      const { connections, sessions, rooms, ends, ...counted } = metrics;
      return counted;
    },
  });
  const name = "holdfast_access_ends_total";
  new Counter({
    name,
    help: "Ended connections, by why",
    labelNames: ["reason"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(metrics.ends)) this.inc({ reason }, count);
    },
  });
}
