/** What an HTTP request must be to become a WebSocket, decided from its head alone. */
import type { IncomingMessage } from "node:http";
import type { Encoding } from "../wire/codec.ts";

export const CONNECT_PATH = "/connect";

export const SUBPROTOCOLS: ReadonlyMap<string, Encoding> = new Map([
  ["holdfast.v1.proto", "proto"],
  ["holdfast.v1.json", "json"],
]);

/** Named to a client that names none, or by none: JSON, so that a person can talk to the gateway. */
const DEFAULT_ENCODING: Encoding = "json";

/** RFC 6455's. `ws` would take 8 as well, a draft of 2011. */
export const WEBSOCKET_VERSION = "13";

export interface Refusal {
  status: 400 | 403 | 404 | 426;
  text: string;
  headers?: string[];
}

/** Why the request is refused, or undefined. `origins` empty: pages of every origin may connect. */
export function upgradeRefusal(
  request: IncomingMessage,
  origins: ReadonlySet<string>,
): Refusal | undefined {
  const [path] = (request.url ?? "").split("?", 1);
  if (path !== CONNECT_PATH) {
    return { status: 404, text: `WebSocket clients connect to ${CONNECT_PATH}` };
  }
  // What RFC 6455 (4.2.1) asks of the request, and `ws` does not look at.
  if (request.httpVersion !== "1.1") {
    return { status: 400, text: "a WebSocket begins with a request of HTTP/1.1" };
  }
  if (request.headers.host === undefined) {
    return { status: 400, text: "the request has no Host header" };
  }
  if (request.headers["sec-websocket-version"] !== WEBSOCKET_VERSION) {
    const headers = ["upgrade: websocket", `sec-websocket-version: ${WEBSOCKET_VERSION}`];
    return {
      status: 426,
      text: `only version ${WEBSOCKET_VERSION} of WebSocket is spoken here`,
      headers,
    };
  }
  // Only browsers send an origin, and only they act for somebody who did not choose the page.
  const { origin } = request.headers;
  if (origin !== undefined && origins.size > 0 && !origins.has(origin)) {
    return { status: 403, text: `pages of ${printable(origin)} may not connect` };
  }
  const offered = offeredSubprotocols(request);
  if (offered.length > 0 && chooseSubprotocol(offered) === undefined) {
    const known = [...SUBPROTOCOLS.keys()].join(", ");
    return { status: 400, text: `none of the subprotocols offered is known; known are ${known}` };
  }
  return undefined;
}

/** The first offered one that is known. */
export function chooseSubprotocol(offered: Iterable<string>): string | undefined {
  for (const name of offered) if (SUBPROTOCOLS.has(name)) return name;
  return undefined;
}

/** The encoding of a connection by the subprotocol that was agreed on, "" for none. */
export function encodingOf(subprotocol: string): Encoding {
  return SUBPROTOCOLS.get(subprotocol) ?? DEFAULT_ENCODING;
}

function offeredSubprotocols(request: IncomingMessage): string[] {
  const header = request.headers["sec-websocket-protocol"];
  return header === undefined ? [] : header.split(",").map((name) => name.trim());
}

/** What a client sent, fit to be sent back to it as text. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 128);
}
