/** What a call of a service or method gets that is not served here. */
import { discardRest } from "./call-end.ts";
import { answerJson, type HttpRequest, type HttpResponse, pathOf } from "./handler.ts";

const GRPC_UNIMPLEMENTED = "12";
/** What gRPC's percent-encoding of messages does not leave as it is. */
const NOT_PLAIN = /[^\x20-\x24\x26-\x7e]/gu;
/** "/package.Service/Method", and nothing that a web page is called. */
const RPC_PATH = /^\/[A-Za-z_][\w.]*\.[A-Za-z_]\w*\/[A-Za-z_]\w*$/;

/** Answers what can only be a call. @returns false for anything else. */
export function answerUnknownCall(request: HttpRequest, response: HttpResponse): boolean {
  if (request.method !== "POST") return false;
  const message = `nothing is served at ${JSON.stringify(pathOf(request))}`;
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    answerGrpc(request, response, type, message);
    return true;
  }
  if (!RPC_PATH.test(pathOf(request))) return false;
  answerJson(request, response, 404, { code: "unimplemented", message });
  return true;
}

/**
 * gRPC's errors are in its own fields, and its clients take any status but 200 for a broken server. Without
 * a body those fields stand in the head: a response of "trailers only".
 */
function answerGrpc(request: HttpRequest, response: HttpResponse, type: string, message: string) {
  void discardRest(request, response);
  response.setHeader("Content-Type", type);
  response.setHeader("Grpc-Status", GRPC_UNIMPLEMENTED);
  response.setHeader("Grpc-Message", message.replace(NOT_PLAIN, encodeURIComponent));
  response.end();
}
