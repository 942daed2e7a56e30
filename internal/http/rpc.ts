import { Code, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createValidateInterceptor } from "@connectrpc/validate";
import type { Logger } from "../observe/logger.ts";
import { toConnectError } from "../status/connect.ts";
import { answerJson, type HttpHandler } from "./handler.ts";
import { prepare, requestValidator } from "./validation.ts";

/** The longest message a caller may send, in bytes. 10,000 ids of 128 bytes, and a payload, fit well. */
const READ_MAX_BYTES = 4 * 1024 * 1024;

export interface RpcOptions {
  routes: (router: ConnectRouter) => void;
  log: Logger;
  /** Gets every request that is not for an RPC. */
  fallback: HttpHandler;
}

/** Connect, gRPC and gRPC-Web for the services of `routes`. */
export function rpcHandler({ routes, log, fallback }: RpcOptions): HttpHandler {
  const adapter = connectNodeAdapter({
    routes(router) {
      routes(router);
      for (const { method } of router.handlers) prepare(method.input);
    },
    fallback,
    readMaxBytes: READ_MAX_BYTES,
    interceptors: [account(log), createValidateInterceptor({ validator: requestValidator })],
    // A misspelt field would otherwise be dropped without a word.
    jsonOptions: { ignoreUnknownFields: false },
  });
  return (request, response) => {
    try {
      adapter(request, response);
    } catch (error) {
      // The adapter builds a URL of the Host header and the path before it answers for itself.
      log.debug({ err: error }, "request without a usable host or path");
      answerJson(request, response, 400, {
        code: "invalid_argument",
        message: "the request needs a valid host and path",
      });
    }
  };
}

/** Translates what services throw, and writes the access log. */
function account(log: Logger): Interceptor {
  return (next) => async (request) => {
    const started = performance.now();
    const method = `${request.service.typeName}/${request.method.name}`;
    const ended = (code: string) =>
      log.debug({ method, code, ms: Math.round(performance.now() - started) }, "call");
    try {
      const response = await next(request);
      ended("ok");
      return response;
    } catch (reason) {
      const error = toConnectError(reason);
      ended(Code[error.code]);
      if (error.code === Code.Internal) log.error({ method, err: error.cause }, "call failed");
      throw error;
    }
  };
}
