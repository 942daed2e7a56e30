import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { discardRest } from "./call-end.ts";

/** For Node's two HTTP servers, as far as they are alike. */
export type HttpHandler = ReturnType<typeof connectNodeAdapter>;
export type HttpRequest = Parameters<HttpHandler>[0];
export type HttpResponse = Parameters<HttpHandler>[1];

/** The path without the query. */
export function pathOf(request: HttpRequest): string {
  const url = request.url ?? "";
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}

/** Answers with a text and nothing else. */
export function answer(
  request: HttpRequest,
  response: HttpResponse,
  content: { status: number; type: string; body: string },
): void {
  void discardRest(request, response);
  response.statusCode = content.status;
  response.setHeader("Content-Type", content.type);
  response.setHeader("Content-Length", Buffer.byteLength(content.body));
  if (request.method === "HEAD") response.end();
  // As a string: over HTTP/1.1 Node joins it with the headers, and writes once.
  else response.end(content.body);
}

export function answerJson(
  request: HttpRequest,
  response: HttpResponse,
  status: number,
  body: Readonly<Record<string, unknown>>,
): void {
  answer(request, response, { status, type: "application/json", body: JSON.stringify(body) });
}
