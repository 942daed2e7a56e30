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
import { isPlain, type QuickCall, serveQuickly } from "./quick-call.ts";
import { CALL_IS_OVER } from "./request-body.ts";
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
  /** For methods of `routes` that are called very often. */
  quick?: readonly QuickCall[] | undefined;
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
  const quickByPath = new Map(
    options.quick?.map((one) => [`/${one.method.parent.typeName}/${one.method.name}`, one]),
  );
  return (request, response) => {
    const path = pathOf(request);
    const handler = byPath.get(path);
    const quick = quickByPath.get(path);
    if (handler !== undefined && quick !== undefined && isPlain(request)) {
      const call = { quick, handler, doorkeeper, log, messageMs };
      void serveQuickly(request, response, call);
    } else if (handler !== undefined) {
      void serveCall(handler, request, response, { log, messageMs });
    } else if (!answerUnknownCall(request, response)) fallback(request, response);
  };
}

function follow(context: HandlerContext): void {
  // Connect-es gives no reason for the abort at the end, and then the platform makes an exception for each call.
  const { abort } = context as { abort?: (reason?: unknown) => void };
  if (abort !== undefined) Object.assign(context, { abort: (why = CALL_IS_OVER) => abort(why) });
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
