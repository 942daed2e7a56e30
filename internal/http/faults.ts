/** Whose fault it is that a call fails, and what is said of it. */
import { Code, ConnectError, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "../observe/logger.ts";
import { toConnectError } from "../status/connect.ts";

/** Puts faults of the caller right before they are written, in all protocols. */
export function followFaults({ signal }: HandlerContext): void {
  // connect-es aborts the call with the error first, and then writes it.
  signal.addEventListener("abort", () => blame(signal.reason));
}

/** Translates what services throw, and writes the access log. */
export function account(log: Logger): Interceptor {
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
      const error = blame(endOf(request.signal) ?? toConnectError(reason));
      ended(Code[error.code]);
      if (error.code === Code.Internal) log.error({ method, err: error.cause }, "call failed");
      throw error;
    }
  };
}

/** Why the call was over before it failed: its deadline passed, or its caller went away. */
function endOf({ aborted, reason }: AbortSignal): ConnectError | undefined {
  if (!aborted) return undefined;
  return reason instanceof ConnectError ? reason : new ConnectError("call ended", Code.Canceled);
}

/**
 * connect-es says `internal` of bytes that are no message (its protocol/serialization.ts), though only the
 * caller can mend them. Its own fault, and not one of ours: of JSON it says `invalid_argument`.
 */
function blame<T>(error: T): T {
  if (
    error instanceof ConnectError &&
    error.code === Code.Internal &&
    error.rawMessage.startsWith("parse binary: ")
  ) {
    Object.assign(error, { code: Code.InvalidArgument });
  }
  return error;
}
