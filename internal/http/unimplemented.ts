/** What a call of a service or method gets that is not served here. */
import { answer, answerJson, type HttpRequest, type HttpResponse, pathOf } from "./handler.ts";

const GRPC_UNIMPLEMENTED = "12";
/** "/package.Service/Method", and nothing that a web page is called. */
const RPC_PATH = /^\/[A-Za-z_][\w.]*\.[A-Za-z_]\w*\/[A-Za-z_]\w*$/;

/** Answers what can only be a call. @returns false for anything else. */
export function answerUnknownCall(request: HttpRequest, response: HttpResponse): boolean {
  if (request.method !== "POST") return false;
  const message = `nothing is served at ${JSON.stringify(pathOf(request))}`;
  const type = request.headers["content-type"] ?? "";
  if (type.startsWith("application/grpc")) {
    // gRPC's errors are in its own fields, and its clients take any status but 200 for a broken server.
    // Without a body these are a response of trailers only.
    response.setHeader("Grpc-Status", GRPC_UNIMPLEMENTED);
    response.setHeader("Grpc-Message", encodeURIComponent(message).replaceAll("%20", " "));
    answer(request, response, { status: 200, type, body: "" });
    return true;
  }
  if (!RPC_PATH.test(pathOf(request))) return false;
  answerJson(request, response, 404, { code: "unimplemented", message });
  return true;
}
