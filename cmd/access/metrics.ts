import { Counter, Gauge, type Registry } from "prom-client";
import type { AccessMetrics } from "../../internal/access/metrics.ts";
import type { AccessNode } from "../../internal/access/service.ts";
import type { Appender } from "../../internal/bus/contract.ts";
import { exposeNumbers } from "../../internal/observe/metrics.ts";

/** What became of the uplinks of each registered business. */
export function exposeBusinesses(registry: Registry, node: Pick<AccessNode, "businesses">): void {
  const uplinks = "holdfast_access_business_uplinks_total";
  new Counter({
    name: uplinks,
    help: 'Uplinks of a business by outcome; outcome "uplinks" counts them all',
    labelNames: ["app", "business", "outcome"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { app, business, counters } of node.businesses()) {
        for (const [outcome, count] of Object.entries(counters)) {
          this.inc({ app, business, outcome }, count);
        }
      }
    },
  });
  const underWay = "holdfast_access_business_uplinks_under_way";
  new Gauge({
    name: underWay,
    help: "Uplinks of a business without an answer",
    labelNames: ["app", "business"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { app, business, underWay: count } of node.businesses()) {
        this.set({ app, business }, count);
      }
    },
  });
}

export function exposeAccessMetrics(
  registry: Registry,
  metrics: AccessMetrics,
  { logAppender, doorway }: { logAppender: Appender; doorway: AccessNode["doorway"] },
): void {
  exposeNumbers(registry, "access", {
    gauges: () => {
      const { connections, sessions, rooms } = metrics;
      const { backlog: logBacklog, oldestAgeMs: logAgeMs } = logAppender;
      const { coming, limit: comingLimit, parked } = doorway;
      return { connections, sessions, rooms, logBacklog, logAgeMs, coming, comingLimit, parked };
    },
    counters: () => {
      const { connections, sessions, rooms, ends, ...counted } = metrics;
      return { ...counted, turnedAway: doorway.turnedAway };
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
