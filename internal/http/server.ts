import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import type { Logger } from "../observe/logger.ts";
import { HoldfastError } from "../status/errors.ts";
import { type AllowedOrigins, applyCors } from "./cors.ts";
import { answerJson, type HttpHandler, pathOf } from "./handler.ts";
import { answerHealth } from "./health.ts";
import type { QuickCall } from "./quick-call.ts";
import { type Doorkeeper, rpcHandler } from "./rpc.ts";
import { sniff } from "./sniff.ts";
import { standardServices } from "./standard-services.ts";

const SECOND = 1_000;
const KIB = 1_024;

/** Bounds on what a caller may hold or cost. Messages are bounded in rpc.ts, what follows a call in call-end.ts. */
export const HTTP_LIMITS = {
  connections: 10_000,
  /** A connection says which HTTP it speaks within this. */
  firstBytesMs: 5 * SECOND,
  /** HTTP/1.1: the headers are complete within this. */
  headersMs: 10 * SECOND,
  /** A request is complete within this; a stream that is in use may last longer on HTTP/2. */
  requestMs: 300 * SECOND,
  /** A message of a call is complete after this much waiting for it, however slowly it drips. */
  messageMs: 30 * SECOND,
  /** A connection without a call is closed after this. */
  idleMs: 75 * SECOND,
  headerBytes: 16 * KIB,
  headers: 100,
  streamsPerConnection: 256,
  streamWindowBytes: 256 * KIB,
};

export type HttpLimits = Readonly<typeof HTTP_LIMITS>;

export interface HttpServerOptions {
  /** Port 0: a free one. */
  listen: { host: string; port: number };
  routes: (router: ConnectRouter) => void;
  /** Whom `routes` let in at all. Unset: everybody, and the services see to it. */
  doorkeeper?: Doorkeeper;
  quick?: readonly QuickCall[];
  ready: () => boolean;
  log: Logger;
  /** Web pages, for every path that is neither an RPC nor health. */
  pages?: HttpHandler;
  /** Web origins whose pages may call. Unset: none but the own. */
  origins?: AllowedOrigins;
  limits?: Partial<HttpLimits>;
  /** How long calls under way may take to end when the server closes. Unset: 5 s. */
  graceMs?: number;
}

export interface HttpServer extends AsyncDisposable {
  /** As "127.0.0.1:8080". */
  readonly address: string;
  /** As "http://127.0.0.1:8080". */
  readonly url: string;
}

/**
 * HTTP/1.1 and HTTP/2 without TLS (prior knowledge) on one port.
 * @throws HoldfastError `unavailable` when the address cannot be listened on.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const closing = new AbortController();
  const handler = createHandler(options, limits, closing.signal);
  const http1 = createHttp1(handler, limits);
  const h2 = createHttp2(handler, limits);
  const sockets = new Set<net.Socket>();
  const silent = new Set<net.Socket>();
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    silent.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      silent.delete(socket);
    });
    sniff(socket, limits.firstBytesMs, (version) => {
      silent.delete(socket);
      const server = version === "http1" ? http1 : h2.server;
      server.emit("connection", socket);
    });
  });
  listener.maxConnections = limits.connections;
  await listen(listener, options.listen);
  // Node enforces the deadlines of HTTP/1 only on a server that has heard this.
  http1.emit("listening");

  let closed: Promise<void> | undefined;
  const close = async () => {
    closing.abort();
    const allClosed = once(listener, "close");
    listener.close();
    for (const socket of silent) socket.destroy();
    h2.closeSessions();
    // A connection becomes idle when its call ends, so look again and again.
    const sweep = setInterval(() => http1.closeIdleConnections(), 20);
    const deadline = setTimeout(
      () => {
        for (const socket of sockets) socket.destroy();
      },
      options.graceMs ?? 5 * SECOND,
    );
    http1.closeIdleConnections();
    await allClosed;
    clearInterval(sweep);
    clearTimeout(deadline);
    http1.close();
    h2.server.close();
  };

  const address = addressOf(listener);
  return {
    address,
    url: `http://${address}`,
    [Symbol.asyncDispose]: () => (closed ??= close()),
  };
}

function createHandler(
  options: HttpServerOptions,
  { messageMs }: HttpLimits,
  closing: AbortSignal,
): HttpHandler {
  const { routes, doorkeeper, quick, log, origins, pages } = options;
  const ready = () => options.ready() && !closing.aborted;
  const openRoutes = standardServices({ routes, ready, closing });
  const fallback = pages ?? notFound;
  const rpc = rpcHandler({ routes, openRoutes, doorkeeper, quick, log, messageMs, fallback });
  return (request, response) => {
    if (origins !== undefined && applyCors(origins, request, response)) return;
    if (answerHealth(ready, request, response)) return;
    rpc(request, response);
  };
}

/** In the form of a Connect error, so that a client of a service that is not here understands it. */
export const notFound: HttpHandler = (request, response) => {
  const message = `nothing is served at ${JSON.stringify(pathOf(request))}`;
  answerJson(request, response, 404, { code: "unimplemented", message });
};

function createHttp1(handler: HttpHandler, limits: HttpLimits): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.min(SECOND, limits.headersMs),
    },
    handler,
  );
  server.maxHeadersCount = limits.headers;
  return server;
}

interface Http2 {
  server: http2.Http2Server;
  closeSessions(): void;
}

function createHttp2(handler: HttpHandler, limits: HttpLimits): Http2 {
  const server = http2.createServer(
    {
      maxHeaderListPairs: limits.headers,
      settings: {
        enablePush: false,
        maxConcurrentStreams: limits.streamsPerConnection,
        initialWindowSize: limits.streamWindowBytes,
        maxHeaderListSize: limits.headerBytes,
      },
    },
    handler,
  );
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // GOAWAY; streams under way go on, and have a deadline of their own.
    session.setTimeout(limits.idleMs, () => session.close());
  });
  server.on("stream", (stream) => {
    stream.setTimeout(limits.requestMs, () => stream.close(http2.constants.NGHTTP2_CANCEL));
  });
  // Garbage after the preface ends the connection and nothing else.
  server.on("sessionError", () => {});
  return {
    server,
    closeSessions: () => {
      for (const session of sessions) session.close();
    },
  };
}

async function listen(server: net.Server, { host, port }: HttpServerOptions["listen"]) {
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new HoldfastError("unavailable", `cannot listen on ${host}:${port}: ${why}`, {
      cause: error,
    });
  }
}

function addressOf(server: net.Server): string {
  const bound = server.address();
  if (bound === null || typeof bound === "string") {
    throw new HoldfastError("internal", "a TCP server without an address");
  }
  return bound.family === "IPv6"
    ? `[${bound.address}]:${bound.port}`
    : `${bound.address}:${bound.port}`;
}
