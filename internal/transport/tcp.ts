/** Frames over TCP or TLS: "HFD1", then length-prefixed frames both ways. */
import type { Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { FrameReader } from "../wire/frame-reader.ts";
import { ProtocolViolation } from "../wire/violation.ts";
import { Acceptor, type Entrance, hostAndPort, sayGoodbye } from "./acceptor.ts";
import { SocketDeadline } from "./deadline.ts";
import { SocketTransport } from "./socket-transport.ts";
import type { Accept, Listener, ListenerOptions, TransportHandlers } from "./transport.ts";

/** The way from a socket's events to its transport, without closures for each connection. */
const kTransport = Symbol("tcp transport");

declare module "node:net" {
  interface Socket {
    [kTransport]?: TcpTransport;
  }
}

export interface TcpListenerOptions extends ListenerOptions, Entrance {
  /** The frame for a client that is turned away, as it stands on the wire. */
  goodbye(afterMs: number): Uint8Array;
}

export async function listenTcp(options: TcpListenerOptions, accept: Accept): Promise<Listener> {
  const { tls, host, goodbye, wheel } = options;
  const open = (socket: Socket) => openTransport(socket, options, accept);
  let letIn = open;
  if (tls !== undefined) {
    const secure = createTlsServer({ ...tls, handshakeTimeout: options.openTimeoutMs }, open);
    // Nothing else ends a handshake that fails or takes too long.
    secure.on("tlsClientError", (_error, socket) => socket.destroy());
    letIn = (socket) => secure.emit("connection", socket);
  }
  const acceptor = await Acceptor.listen(options, options, {
    letIn,
    turnAway(socket, afterMs) {
      // To say anything over TLS would cost the handshake.
      if (tls !== undefined) socket.resetAndDestroy();
      else sayGoodbye(socket, goodbye(afterMs), wheel);
    },
  });
  const scheme = tls === undefined ? "tcp" : "tls";
  return {
    protocol: "tcp",
    port: acceptor.port,
    url: `${scheme}://${hostAndPort(host, acceptor.port)}`,
    stop: () => acceptor.stop(),
    [Symbol.asyncDispose]: () => acceptor.stop(),
  };
}

function openTransport(socket: Socket, options: TcpListenerOptions, accept: Accept): void {
  const transport = new TcpTransport(socket, options);
  socket[kTransport] = transport;
  transport.handlers = accept(transport);
  socket.on("data", onData);
  socket.prependListener("end", onEnd);
  socket.on("drain", onDrain);
  socket.on("error", onError);
  socket.on("close", onClose);
}

class TcpTransport extends SocketTransport {
  readonly protocol = "tcp";
  handlers: TransportHandlers | undefined;
  readonly #reader: FrameReader;
  readonly #options: TcpListenerOptions;
  #reading = true;
  #closing: SocketDeadline | undefined;

  constructor(socket: Socket, options: TcpListenerOptions) {
    super(socket, { address: socket.remoteAddress ?? "", encoding: "proto", form: "tcp" });
    this.#reader = new FrameReader(options.maxFrameBytes);
    this.#options = options;
  }

  data(chunk: Buffer): void {
    if (!this.#reading) return;
    try {
      this.#reader.feed(chunk);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        this.handlers?.received(frame);
        if (!this.#reading) return;
      }
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#reading = false;
      this.handlers?.violated(error);
    }
  }

  drained(): void {
    if (this.markDrained()) this.handlers?.drained();
  }

  closed(hadError: boolean): void {
    if (this.#closing !== undefined) this.#options.wheel.remove(this.#closing);
    this.#reading = false;
    this.abort();
    this.handlers?.closed(hadError ? "transport-error" : "client-closed");
  }

  protected override endGracefully(): void {
    this.#reading = false;
    this.socket.end();
    this.#closing = new SocketDeadline(this.socket);
    this.#options.wheel.schedule(this.#closing, this.#options.closeTimeoutMs);
  }
}

function onData(this: Socket, chunk: Buffer): void {
  this[kTransport]?.data(chunk);
}

/** Node ends our side as well when this has passed, before the turn's frames would be written. */
function onEnd(this: Socket): void {
  this[kTransport]?.flush();
}

function onDrain(this: Socket): void {
  this[kTransport]?.drained();
}

/** "close" follows, and says that there was an error. */
function onError(): void {}

function onClose(this: Socket, hadError: boolean): void {
  this[kTransport]?.closed(hadError);
}
