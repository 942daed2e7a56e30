/** The listener of WebSocket: HTTP, and the upgrade, which `ws` does. */
import { createServer, type RequestListener, STATUS_CODES } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ServerOptions, WebSocketServer } from "ws";
import { Acceptor, type Entrance, hostAndPort, sayGoodbye } from "./acceptor.ts";
import { SocketDeadline } from "./deadline.ts";
import type { Accept, Listener, ListenerOptions } from "./transport.ts";
import { CONNECT_PATH, chooseSubprotocol, type Refusal, upgradeRefusal } from "./upgrade.ts";
import { GatewaySocket, openWebSocketTransport } from "./ws-transport.ts";

const MAX_HEADER_BYTES = 8_192;
/** More parts of one message than any client has a reason for. */
const MAX_FRAGMENTS = 64;
const MAX_BUFFERED_CHUNKS = 1_024;

const kOpening = Symbol("opening deadline");

declare module "node:net" {
  interface Socket {
    /** Until the upgrade is done. */
    [kOpening]?: SocketDeadline | undefined;
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
      openWebSocketTransport(socket, request.socket, accept);
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

function refuseUpgrade(stream: Duplex, { status, text, headers = [] }: Refusal): void {
  const body = `${text}\n`;
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...headers,
    "connection: close",
    "content-type: text/plain; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  stream.on("error", () => {});
  stream.once("finish", () => stream.destroy());
  stream.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}
