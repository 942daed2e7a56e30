import { hostname } from "node:os";

const MAX_HOST = 24;

/** Another for each process of each host, and good in an incarnation. */
export function defaultNodeName(): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9_]/g, "_")
    .slice(0, MAX_HOST);
  return `${host}_${process.pid}`;
}
