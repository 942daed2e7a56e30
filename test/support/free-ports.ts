import { freePort } from "../../internal/nats-server/free-port.ts";

/** Ports on loopback that nobody listens on, each different from the others. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
