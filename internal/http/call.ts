/** One call: from Node's request to connect-es and back. */
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import {
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "../observe/logger.ts";
import { discardRest } from "./call-end.ts";
import { answerJson, type HttpRequest, type HttpResponse } from "./handler.ts";
import { RequestBody } from "./request-body.ts";

export interface CallOptions {
  log: Logger;
  messageMs: number;
  /** What was read of its body already. */
  read?: Uint8Array;
}

const BODY = createContextKey<RequestBody | undefined>(undefined);

/** Ends the wait for the body when the call ends otherwise: by its deadline, or with its caller. */
export function followBody({ values, signal }: HandlerContext): void {
  const body = values.get(BODY);
  signal.addEventListener("abort", () => body?.stopWith(signal.reason));
}

/**
 * In place of connect-node's adapter, which leaves the rest of a request to nobody, writes callers' faults
 * to the console with their stacks, and answers nothing when a handler throws.
 */
export async function serveCall(
  handler: UniversalHandler,
  request: HttpRequest,
  response: HttpResponse,
  { log, messageMs, read }: CallOptions,
): Promise<void> {
  const { methodKind } = handler.method;
  const stream = methodKind === "client_streaming" || methodKind === "bidi_streaming";
  const body = new RequestBody(request, { stream, messageMs, read });
  const contextValues = createContextValues().set(BODY, body);
  let call: UniversalServerRequest;
  try {
    call = {
      ...universalRequestFromNodeRequest(request, response, undefined, contextValues),
      body,
    };
  } catch (error) {
    // It builds a URL of the Host header and the path.
    log.debug({ err: error }, "request without a usable host or path");
    answerJson(request, response, 400, {
      code: "invalid_argument",
      message: "the request needs a valid host and path",
    });
    return;
  }
  // A watch may have nothing to say for hours.
  if (methodKind === "server_streaming" && "stream" in request) request.stream.setTimeout(0);
  try {
    const answer = await handler(call);
    const requestIsOver = () => {
      body.leave();
      return discardRest(request, response);
    };
    // Only a call of both ways is read while it is answered.
    if (methodKind !== "bidi_streaming") await requestIsOver();
    else whenAnswered(request, requestIsOver);
    if (methodKind === "unary" && !("stream" in request)) await answerAtOnce(answer, response);
    else await universalResponseToNodeResponse(answer, response);
  } catch (reason) {
    const { code, rawMessage } = ConnectError.from(reason, Code.Internal);
    // What services throw is answered and logged elsewhere: this is a caller that hung up.
    log.debug({ method: handler.requestPath, code: Code[code], why: rawMessage }, "call cut off");
    response.destroy();
  }
}

/** An answer of one message over HTTP/1.1, in one write: writes are the dearest part of a small call. */
async function answerAtOnce(
  { status, header, body, trailer }: UniversalServerResponse,
  response: HttpResponse,
): Promise<void> {
  const chunks: Uint8Array[] = [];
  if (body !== undefined) for await (const chunk of body) chunks.push(chunk);
  for (const [name, value] of header ?? []) response.setHeader(name, value);
  response.statusCode = status;
  const whole = Buffer.concat(chunks);
  if (trailer === undefined || [...trailer].length === 0) {
    response.setHeader("Content-Length", whole.length);
  } else if ("addTrailers" in response) {
    for (const [name, value] of trailer) response.addTrailers({ [name]: value });
  }
  // Bytes as a string of the same bytes: Node joins it with the headers.
  response.end(whole.toString("latin1"), "latin1");
}

/** An HTTP/2 response says "finish" only when its stream is closed, so it is the stream that is asked. */
function whenAnswered(request: HttpRequest, action: () => unknown): void {
  if ("stream" in request) request.stream.once("finish", action);
}
