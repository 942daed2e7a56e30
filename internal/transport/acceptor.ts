import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Wheel } from "../clock/wheel.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Admission } from "./admission.ts";
import { SocketDeadline } from "./deadline.ts";
import type { Doorway, Reception } from "./doorway.ts";
import type { ListenerOptions } from "./transport.ts";

/** How long a client that is turned away may take to hang up. */
const GOODBYE_MS = 1_000;

/** What the listeners of a node share. */
export interface Entrance {
  admission: Admission;
  doorway: Doorway;
  wheel: Wheel;
}

/**
 * The listening socket of a transport. Each connection is let in, parked, turned away or cut here,
 * before TLS and HTTP see it: nothing is read of it until it is let in.
 */
export class Acceptor {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** @throws HoldfastError `conflict` when the port is taken, `invalid` for an address not of this machine. */
  static async listen(
    options: Pick<ListenerOptions, "host" | "port" | "reusePort">,
    { admission, doorway }: Entrance,
    { letIn, turnAway }: Reception,
  ): Promise<Acceptor> {
    function leave(this: Socket): void {
      admission.leave(this.remoteAddress ?? "");
    }
    const left = () => doorway.left();
    const reception: Reception = {
      turnAway,
      letIn(socket) {
        socket.on("close", left);
        letIn(socket);
        // `pauseOnConnect` has stopped it before anything was read.
        socket.resume();
      },
    };
    const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      // Asked once and remembered by the socket, so that `leave` is given the same.
      const address = socket.remoteAddress;
      if (address === undefined) {
        socket.destroy(); // gone already
      } else if (!admission.enter(address)) {
        socket.resetAndDestroy();
      } else {
        socket.on("close", leave);
        doorway.arrived(socket, reception);
      }
    });
    const { host, port, reusePort } = options;
    server.listen({ host, port, reusePort, backlog: 4096 });
    try {
      await once(server, "listening");
    } catch (error) {
      throw listenError(error, host, port);
    }
    const address = server.address();
    if (address === null || typeof address === "string") {
      throw new HoldfastError("internal", `listening on ${host}:${port} gave no port`);
    }
    return new Acceptor(server, address.port);
  }

  /** Accepts no more. Resolves at once: connections that are open stay. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
  }
}

/**
 * Says goodbye and ends. What the client has sent is thrown away: a socket that is closed with bytes
 * unread is reset, and the client would not come to read this.
 */
export function sayGoodbye(socket: Socket, bytes: string | Uint8Array, wheel: Wheel): void {
  const deadline = new SocketDeadline(socket);
  wheel.schedule(deadline, GOODBYE_MS);
  socket.once("close", () => wheel.remove(deadline));
  socket.end(bytes);
  socket.resume();
}

/** "127.0.0.1:9000" or "[::1]:9000". */
export function hostAndPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function listenError(error: unknown, host: string, port: number): HoldfastError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const where = hostAndPort(host, port);
  switch (code) {
    case "EADDRINUSE":
      return new HoldfastError("conflict", `${where} is in use`, { cause: error });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new HoldfastError("invalid", `${host} is not an address of this machine`, {
        cause: error,
      });
    case "EACCES":
      return new HoldfastError("forbidden", `listening on ${where} is not permitted`, {
        cause: error,
      });
    default:
      return HoldfastError.from(error);
  }
}
