import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldfastError } from "../status/errors.ts";

const RETRY_EVERY_MS = 10;

/** What a NATS server says of itself when somebody connects; the fields used here. */
export interface ServerInfo {
  readonly server_name: string;
  readonly version: string;
}

/** Waits until the server of this name takes clients; throws the signal's reason when it aborts. */
export async function serverAnswers(
  server: {
    readonly host?: string | undefined;
    readonly port: number;
    readonly serverName: string;
  },
  signal: AbortSignal,
): Promise<ServerInfo> {
  for (;;) {
    signal.throwIfAborted();
    const info = await readServerInfo(server.host ?? "127.0.0.1", server.port).catch(
      () => undefined,
    );
    if (info?.server_name === server.serverName) return info;
    await sleep(RETRY_EVERY_MS);
  }
}

/** Connects, reads the greeting and hangs up. */
async function readServerInfo(host: string, port: number): Promise<ServerInfo> {
  const socket = connect({ port, host, timeout: 1_000 });
  socket.on("timeout", () => socket.destroy(new Error("no greeting within a second")));
  try {
    const [line] = await Promise.race([
      once(createInterface({ input: socket }), "line"),
      once(socket, "close").then(() => ["closed"]),
    ]);
    if (!line.startsWith("INFO ")) throw new Error(`expected INFO, got ${line}`);
    return JSON.parse(line.slice("INFO ".length));
  } catch (cause) {
    throw new HoldfastError("unavailable", `no NATS server answers on ${host}:${port}`, { cause });
  } finally {
    socket.destroy();
  }
}
