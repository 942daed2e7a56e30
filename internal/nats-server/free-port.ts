import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { HoldfastError } from "../status/errors.ts";

/** Below what operating systems give to outgoing connections. */
const LOWEST = 20_000;
const HIGHEST = 30_000;

/**
 * A port on loopback that nobody listens on. Not one of the system's own choice: such a port may
 * become the near end of any outgoing connection while the server that had it restarts.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(LOWEST, HIGHEST);
    if (await canListen(port)) return port;
  }
  throw new HoldfastError("unavailable", `no free port between ${LOWEST} and ${HIGHEST}`);
}

/** Whether nobody listens on this port of loopback. */
export async function canListen(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
