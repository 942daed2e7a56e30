/** The demo page over HTTP: its files, the bundled SDK at /sdk.js, and the demo API. */
import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { bundleSdk } from "./build.ts";
import type { ApiAnswer, DemoApi } from "./demo-api.ts";

type Handler = ReturnType<typeof connectNodeAdapter>;
type Request = Parameters<Handler>[0];
type Response = Parameters<Handler>[1];

interface Answer {
  status: number;
  type: string;
  body: string | Buffer;
}

const PUBLIC = new URL("./public/", import.meta.url);
/** No dots but the one of the extension, and no folders: a path cannot leave `public`. */
const FILE = /^\/([a-z-]+\.(?:html|css|js|svg))$/;
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};
const JSON_TYPE = "application/json";
const MAX_BODY_BYTES = 16 * 1024;

/** Everything the page loads is its own; access nodes may be anywhere, so any WebSocket is allowed. */
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
    "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-cache",
};

/** The page as a handler for what is neither an RPC nor health. */
export function consolePages(api: DemoApi): Handler {
  return (request, response) => {
    void respond(api, request, response);
  };
}

async function respond(api: DemoApi, request: Request, response: Response): Promise<void> {
  let answer: Answer;
  try {
    answer = await answerOf(api, request);
  } catch (error) {
    answer = json({ status: 500, body: { error: String(error) } });
  }
  const body = Buffer.from(answer.body);
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  response.setHeader("Content-Type", answer.type);
  response.setHeader("Content-Length", body.length);
  if (request.method === "HEAD") response.end();
  else response.end(body);
}

async function answerOf(api: DemoApi, request: Request): Promise<Answer> {
  const method = request.method ?? "GET";
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  if (pathname.startsWith("/demo/")) return json(await callApi(api, method, pathname, request));
  if (method !== "GET" && method !== "HEAD") {
    return json({ status: 405, body: { error: `${method} is not served here` } });
  }
  if (pathname === "/sdk.js") return file(200, ".js", await bundleSdk());
  const name = pathname === "/" ? "index.html" : FILE.exec(pathname)?.[1];
  const content = name === undefined ? undefined : await readPublic(name);
  if (name === undefined || content === undefined) {
    return json({ status: 404, body: { error: "there is no such page" } });
  }
  return file(200, extname(name), content);
}

async function callApi(
  api: DemoApi,
  method: string,
  path: string,
  request: Request,
): Promise<ApiAnswer> {
  // The API acts with the app's key, so no other site's page may have a visitor's browser call it.
  const site = request.headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    return { status: 403, body: { error: "only for the page of this server" } };
  }
  let body: unknown;
  if (method === "POST") {
    try {
      body = JSON.parse(await readBody(request));
    } catch {
      const error = `the body must be JSON of at most ${MAX_BODY_BYTES} bytes`;
      return { status: 400, body: { error } };
    }
  }
  const answer = await api.handle(method, path, body);
  return answer ?? { status: 404, body: { error: `nothing answers ${method} ${path}` } };
}

async function readBody(request: Request): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > MAX_BODY_BYTES) throw new RangeError("too long");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function readPublic(name: string): Promise<Buffer | undefined> {
  return readFile(new URL(name, PUBLIC)).catch(() => undefined);
}

function file(status: number, extension: string, body: string | Buffer): Answer {
  return { status, type: TYPES[extension] ?? "application/octet-stream", body };
}

function json({ status, body }: ApiAnswer): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify(body) };
}
