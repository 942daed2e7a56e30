import {
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  type HandlerContext,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { createValidateInterceptor } from "@connectrpc/validate";
import type { Logger } from "../observe/logger.ts";
import { toConnectError } from "../status/connect.ts";
import { followBody, serveCall } from "./call.ts";
import { account, followFaults } from "./faults.ts";
import { type HttpHandler, pathOf } from "./handler.ts";
import { answerUnknownCall } from "./unimplemented.ts";
import { prepare, requestValidator } from "./validation.ts";

/** The longest message a caller may send, in bytes. 10,000 ids of 128 bytes, and a payload, fit well. */
const READ_MAX_BYTES = 4 * 1024 * 1024;

/** For services that say more about JSON; what is here must stay. */
export const JSON_OPTIONS = {
  // A misspelt field would otherwise be dropped without a word.
  ignoreUnknownFields: false,
  // connect-es replaces what is not UTF-8 by U+FFFD unless its decoder refuses it.
  textDecoder: new TextDecoder("utf-8", { fatal: true }),
};

/**
 * Who may call at all, by the method and the headers alone: it is asked before anything of the body is read.
 * @throws HoldfastError `unauthenticated`, usually.
 */
export type Doorkeeper = (call: Pick<HandlerContext, "requestHeader" | "method">) => void;

export interface RpcOptions {
  routes: (router: ConnectRouter) => void;
  /** Services that anybody may call, whatever the doorkeeper says. */
  openRoutes: (router: ConnectRouter) => void;
  doorkeeper?: Doorkeeper | undefined;
  log: Logger;
  /** The bytes of a message must be here within this time of waiting for them. */
  messageMs: number;
  /** Gets every request that is not for an RPC. */
  fallback: HttpHandler;
}

/** Connect, gRPC and gRPC-Web for the services of `routes`. */
export function rpcHandler(options: RpcOptions): HttpHandler {
  const { routes, openRoutes, doorkeeper, log, messageMs, fallback } = options;
  const common: ConnectRouterOptions = {
    readMaxBytes: READ_MAX_BYTES,
    acceptCompression: [compressionGzip, compressionBrotli],
    interceptors: [account(log), createValidateInterceptor({ validator: requestValidator })],
    jsonOptions: JSON_OPTIONS,
  };
  const open = createConnectRouter({ ...common, requestGate: follow });
  openRoutes(open);
  const guarded = createConnectRouter({ ...common, requestGate: admitThenFollow(doorkeeper) });
  routes(guarded);
  const handlers = [...open.handlers, ...guarded.handlers];
  for (const { method } of guarded.handlers) prepare(method.input);
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const handler = byPath.get(pathOf(request));
    if (handler !== undefined) void serveCall(handler, request, response, { log, messageMs });
    else if (!answerUnknownCall(request, response)) fallback(request, response);
  };
}

function follow(context: HandlerContext): void {
  followBody(context);
  followFaults(context);
}

function admitThenFollow(doorkeeper: Doorkeeper = () => {}) {
  return (context: HandlerContext) => {
    follow(context);
    try {
      doorkeeper(context);
    } catch (reason) {
      throw toConnectError(reason);
    }
  };
}
