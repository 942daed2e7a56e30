/**
 * Frames over WebSocket, one message each. `ws` does the handshake and reads; what is sent goes
 * straight into the socket, framed once for everybody (wire/shared-frame.ts).
 */
import { createServer, type RequestListener, STATUS_CODES } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type RawData, type ServerOptions, WebSocket, WebSocketServer } from "ws";
import { ProtocolViolation, type ViolationReason } from "../wire/violation.ts";
import { OPCODE_PONG, websocketFrame } from "../wire/websocket-frame.ts";
import { Acceptor, type Entrance, hostAndPort, sayGoodbye } from "./acceptor.ts";
import { SocketDeadline } from "./deadline.ts";
import { SocketTransport } from "./socket-transport.ts";
import type { Accept, Listener, ListenerOptions, TransportHandlers } from "./transport.ts";
import {
  CONNECT_PATH,
  chooseSubprotocol,
  encodingOf,
  type Refusal,
  upgradeRefusal,
} from "./upgrade.ts";

const MAX_HEADER_BYTES = 8_192;
/** More parts of one message than any client has a reason for. */
const MAX_FRAGMENTS = 64;
const MAX_BUFFERED_CHUNKS = 1_024;

const kOpening = Symbol("opening deadline");
const kTransport = Symbol("websocket transport");

declare module "node:net" {
  interface Socket {
    /** Until the upgrade is done. */
    [kOpening]?: SocketDeadline | undefined;
    [kTransport]?: WebSocketTransport;
  }
}

export interface WebSocketListenerOptions extends ListenerOptions, Entrance {
  /** Pages of which origins may connect; empty: of all. Clients that are not browsers send none. */
  origins: readonly string[];
}

export async function listenWebSocket(
  options: WebSocketListenerOptions,
  accept: Accept,
): Promise<Listener> {
  const { tls, wheel, openTimeoutMs, host } = options;
  const origins = new Set(options.origins);
  const upgrades = new WebSocketServer(upgradeOptions(options));
  const http =
    tls === undefined
      ? createServer({ maxHeaderSize: MAX_HEADER_BYTES }, refuseRequest)
      : createHttpsServer(
          { ...tls, maxHeaderSize: MAX_HEADER_BYTES, handshakeTimeout: openTimeoutMs },
          refuseRequest,
        );
  // The server never listens itself, so its own time limits do not run.
  http.on(tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
    socket[kOpening] = new SocketDeadline(socket);
    wheel.schedule(socket[kOpening], openTimeoutMs);
    socket.on("close", forgetOpening);
  });
  http.on("upgrade", (request, stream, head) => {
    const refusal = upgradeRefusal(request, origins);
    if (refusal !== undefined) {
      refuseUpgrade(stream, refusal);
      return;
    }
    upgrades.handleUpgrade(request, stream, head, (socket) => {
      forgetOpening.call(request.socket);
      request.socket.off("close", forgetOpening);
      openTransport(socket, request.socket, accept);
    });
  });
  function forgetOpening(this: Socket): void {
    if (this[kOpening] === undefined) return;
    wheel.remove(this[kOpening]);
    this[kOpening] = undefined;
  }

  const acceptor = await Acceptor.listen(options, options, {
    letIn: (socket) => void http.emit("connection", socket),
    turnAway(socket, afterMs) {
      // To say anything over TLS would cost the handshake.
      if (tls !== undefined) socket.resetAndDestroy();
      else sayGoodbye(socket, tooManyClients(afterMs), wheel);
    },
  });
  const scheme = tls === undefined ? "ws" : "wss";
  return {
    protocol: "websocket",
    port: acceptor.port,
    url: `${scheme}://${hostAndPort(host, acceptor.port)}${CONNECT_PATH}`,
    stop: () => acceptor.stop(),
    [Symbol.asyncDispose]: () => acceptor.stop(),
  };
}

function upgradeOptions(
  options: WebSocketListenerOptions,
): ServerOptions<typeof GatewaySocket> & { closeTimeout: number } {
  return {
    noServer: true,
    WebSocket: GatewaySocket,
    clientTracking: false,
    perMessageDeflate: false,
    autoPong: false,
    maxPayload: options.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_BUFFERED_CHUNKS,
    closeTimeout: options.closeTimeoutMs,
    handleProtocols: (offered) => chooseSubprotocol(offered) ?? false,
  };
}

/** Sent before the request is read. Clients that are not browsers see it. */
function tooManyClients(afterMs: number): string {
  return [
    "HTTP/1.1 503 Service Unavailable",
    "connection: close",
    `retry-after: ${Math.ceil(afterMs / 1_000)}`,
    "content-length: 0",
    "",
    "",
  ].join("\r\n");
}

const refuseRequest: RequestListener = (request, response) => {
  const [path] = (request.url ?? "").split("?", 1);
  const status = path === CONNECT_PATH ? 426 : 404;
  response.writeHead(status, {
    connection: "close",
    "content-type": "text/plain; charset=utf-8",
    ...(status === 426 && { upgrade: "websocket" }),
  });
  response.end(`WebSocket clients connect to ${CONNECT_PATH}\n`);
};

function refuseUpgrade(stream: Duplex, { status, text }: Refusal): void {
  const body = `${text}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "connection: close",
    "content-type: text/plain; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  stream.on("error", ignore);
  stream.once("finish", () => stream.destroy());
  stream.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

function openTransport(websocket: GatewaySocket, socket: Socket, accept: Accept): void {
  const transport = new WebSocketTransport(websocket, socket);
  websocket.transport = transport;
  socket[kTransport] = transport;
  transport.handlers = accept(transport);
  websocket.on("message", onMessage);
  websocket.on("ping", onPing);
  websocket.on("error", ignore);
  websocket.on("close", onClose);
  socket.on("drain", onDrain);
}

/** What `ws` says of a peer that breaks RFC 6455, in the terms of our protocol. */
const VIOLATIONS: Record<number, { reason: ViolationReason; message: string }> = {
  1002: { reason: "bad-protocol", message: "the bytes are not WebSocket frames" },
  1007: { reason: "bad-frame", message: "a text message is not UTF-8" },
  1008: { reason: "bad-frame", message: "a message comes in too many parts" },
  1009: { reason: "frame-too-large", message: "a message is longer than a frame may be" },
};

class GatewaySocket extends WebSocket {
  transport: WebSocketTransport | undefined;

  /**
   * `ws` closes a peer that breaks RFC 6455 with a code and no reason, and only then emits "error".
   * Here the session comes first, so that the client is given our Close frame and code; what `ws`
   * wanted to send is then too late, and does nothing.
   */
  override close(code?: number, reason?: string | Buffer): void {
    const violation = reason === undefined && code !== undefined ? VIOLATIONS[code] : undefined;
    if (violation !== undefined && this.readyState === WebSocket.OPEN) {
      this.transport?.violated(violation.reason, violation.message);
    }
    super.close(code, reason);
  }
}

class WebSocketTransport extends SocketTransport {
  readonly protocol = "websocket";
  handlers: TransportHandlers | undefined;
  readonly #websocket: GatewaySocket;
  #reading = true;

  constructor(websocket: GatewaySocket, socket: Socket) {
    const encoding = encodingOf(websocket.protocol);
    const form = encoding === "proto" ? "websocket-binary" : "websocket-text";
    super(socket, { address: socket.remoteAddress ?? "", encoding, form });
    this.#websocket = websocket;
  }

  message(data: Buffer, isBinary: boolean): void {
    if (!this.#reading) return;
    if (isBinary === (this.encoding === "proto")) {
      this.handlers?.received(data);
      return;
    }
    const [right, wrong] = isBinary ? ["text", "binary"] : ["binary", "text"];
    this.violated("bad-protocol", `a ${wrong} message where the subprotocol has ${right} ones`);
  }

  /** One pong a ping, and none while the peer does not read: it cannot make this node queue them. */
  ping(data: Buffer): void {
    if (!this.#reading) return;
    if (this.writable) this.sendBytes(websocketFrame(OPCODE_PONG, data));
    this.handlers?.probed();
  }

  violated(reason: ViolationReason, message: string): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.handlers?.violated(new ProtocolViolation(reason, message));
  }

  drained(): void {
    if (this.markDrained()) this.handlers?.drained();
  }

  closed(code: number): void {
    this.#reading = false;
    this.abort();
    this.handlers?.closed(code === NO_CLOSE_FRAME ? "transport-error" : "client-closed");
  }

  protected override endGracefully(code: number, reason: string): void {
    this.#reading = false;
    this.#websocket.close(code, shortened(reason));
  }
}

/** RFC 6455, section 5.5: a control frame holds 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

function shortened(reason: string): string {
  const bytes = new Uint8Array(MAX_REASON_BYTES);
  const { read } = new TextEncoder().encodeInto(reason, bytes);
  return reason.slice(0, read);
}

/** RFC 6455, section 7.1.5: the connection ended without a Close frame. */
const NO_CLOSE_FRAME = 1006;

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  // Always a Buffer: `binaryType` is left as it is.
  if (this instanceof GatewaySocket && Buffer.isBuffer(data)) {
    this.transport?.message(data, isBinary);
  }
}

function onPing(this: WebSocket, data: Buffer): void {
  if (this instanceof GatewaySocket) this.transport?.ping(data);
}

function onClose(this: WebSocket, code: number): void {
  if (this instanceof GatewaySocket) this.transport?.closed(code);
}

function onDrain(this: Socket): void {
  this[kTransport]?.drained();
}

function ignore(): void {}
