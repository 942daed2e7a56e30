import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";

/**
 * Numbers that hot code counts in plain fields: reading them is left to the scrape, so that counting
 * costs an addition and nothing else.
 */
export type Numbers = Readonly<Record<string, number>>;

export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** Shows fields as `holdfast_<role>_<field>`: gauges rise and fall, counters only rise. */
export function exposeNumbers(
  registry: Registry,
  role: string,
  fields: { counters?: () => Numbers; gauges?: () => Numbers },
): void {
  const { counters, gauges } = fields;
  for (const field of Object.keys(gauges?.() ?? {})) {
    const name = metricName(role, field);
    new Gauge({
      name,
      help: name,
      registers: [registry],
      collect() {
        this.set(gauges?.()[field] ?? 0);
      },
    });
  }
  for (const field of Object.keys(counters?.() ?? {})) {
    const name = `${metricName(role, field)}_total`;
    new Counter({
      name,
      help: name,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(counters?.()[field] ?? 0);
      },
    });
  }
}

/** `framesIn` of role `access` → `holdfast_access_frames_in`. */
function metricName(role: string, field: string): string {
  return `holdfast_${role}_${field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
}
