import { cors } from "@connectrpc/connect";
import type { HttpRequest, HttpResponse } from "./handler.ts";

/** Which web origins may call; "any" suits calls that carry no cookies, and these never do. */
export type AllowedOrigins = "any" | readonly string[];

const HOUR_SECONDS = 3_600;
const METHODS = cors.allowedMethods.join(", ");
const REQUEST_HEADERS = [...cors.allowedHeaders, "Authorization"].join(", ");
const RESPONSE_HEADERS = cors.exposedHeaders.join(", ");

/**
 * Says what a browser may do. A page of another origin is not refused, it is merely given no leave:
 * the browser keeps the answer from it.
 * @returns true when the request was a preflight and has been answered.
 */
export function applyCors(
  origins: AllowedOrigins,
  request: HttpRequest,
  response: HttpResponse,
): boolean {
  const origin = request.headers.origin;
  if (origin === undefined) return false;
  const allowed = origins === "any" || origins.includes(origin);
  if (origins !== "any") response.setHeader("Vary", "Origin");
  if (allowed) {
    response.setHeader("Access-Control-Allow-Origin", origins === "any" ? "*" : origin);
    response.setHeader("Access-Control-Expose-Headers", RESPONSE_HEADERS);
  }
  if (request.method !== "OPTIONS") return false;
  if (request.headers["access-control-request-method"] === undefined) return false;
  if (allowed) {
    response.setHeader("Access-Control-Allow-Methods", METHODS);
    response.setHeader("Access-Control-Allow-Headers", REQUEST_HEADERS);
    response.setHeader("Access-Control-Max-Age", HOUR_SECONDS);
  }
  response.writeHead(204);
  response.end();
  return true;
}
