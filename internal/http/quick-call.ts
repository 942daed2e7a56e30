/**
 * The plain case of a method that is called very often: JSON in and out, over HTTP/1.1, without any of the
 * protocol's options. Connect-es needs three times the CPU for it. Whatever is not plain, or goes wrong, is left to connect-es,
 * so that there is one place that knows its errors.
 */

import { type DescMessage, fromJsonString, type MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { type CallOptions, serveCall } from "./call.ts";
import { answer, type HttpRequest, type HttpResponse } from "./handler.ts";
import { RequestBody } from "./request-body.ts";
import type { Doorkeeper } from "./rpc.ts";
import { validate } from "./validation.ts";

export interface QuickCall {
  readonly method: HandlerContext["method"];
  /** Its answer, as JSON has it. Called once more, by connect-es, when it throws. */
  answer(text: string, header: Headers): Promise<unknown>;
}

export interface QuickOptions extends CallOptions {
  quick: QuickCall;
  handler: UniversalHandler;
  doorkeeper: Doorkeeper | undefined;
}

export function quickCall<Input extends DescMessage>(
  method: HandlerContext["method"] & { readonly input: Input },
  answerTo: (request: MessageShape<Input>, header: Headers) => Promise<unknown>,
): QuickCall {
  return {
    method,
    answer(text, header) {
      // A field that is not known is refused, as connect-es is told to.
      const request = fromJsonString(method.input, text);
      validate(method.input, request);
      return answerTo(request, header);
    },
  };
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Longer bodies are read by connect-es, which has the limits. */
const MOST_BYTES = 16_384;
/** Headers that say something about the call, and not only about the caller. */
const OPTIONS = ["connect-timeout-ms", "content-encoding", "transfer-encoding", "expect"];

export function isPlain(request: HttpRequest): boolean {
  if ("stream" in request || request.method !== "POST") return false;
  const { headers } = request;
  return (
    headers["content-type"] === "application/json" &&
    Number(headers["content-length"] ?? Number.NaN) <= MOST_BYTES &&
    headers.host !== undefined &&
    !OPTIONS.some((name) => headers[name] !== undefined)
  );
}

export async function serveQuickly(
  request: HttpRequest,
  response: HttpResponse,
  options: QuickOptions,
): Promise<void> {
  const { quick, handler, doorkeeper, ...call } = options;
  const { authorization, origin } = request.headers;
  const header = new Headers({
    ...(authorization !== undefined && { authorization }),
    ...(origin !== undefined && { origin }),
  });
  let read: Uint8Array | undefined;
  try {
    doorkeeper?.({ method: quick.method, requestHeader: header });
    const body = new RequestBody(request, { stream: false, messageMs: call.messageMs });
    read = await wholeOf(body);
    const text = JSON.stringify(await quick.answer(UTF8.decode(read), header));
    answer(request, response, { status: 200, type: "application/json", body: text });
  } catch {
    await serveCall(handler, request, response, { ...call, ...(read !== undefined && { read }) });
  }
}

async function wholeOf(body: RequestBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of body) chunks.push(chunk);
  } finally {
    body.leave();
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
}
