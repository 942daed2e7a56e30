import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterEach, describe, expect, test } from "vitest";
import {
  type HttpServer,
  type HttpServerOptions,
  startHttpServer,
} from "../../internal/http/server.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { eventually } from "../support/eventually.ts";
import { quietLogger, recordingLogger } from "../support/logger.ts";

const PUSH = "/holdfast.push.v1.PushService/PushToDevices";
const BODY = { app: "demo", devices: ["d1"], message: { business: "chat", text: "hi" } };

let server: HttpServer | undefined;
/** Calls of app "slow", which end when told to. */
const slowCalls = new Set<() => void>();
const finishSlowCalls = () => {
  for (const end of slowCalls) end();
  slowCalls.clear();
};
afterEach(async () => {
  finishSlowCalls();
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

/** A push service that sends to nobody, and fails for some apps. */
async function start(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  server = await startHttpServer({
    listen: { host: "127.0.0.1", port: 0 },
    log: quietLogger,
    ready: () => true,
    routes: (router) => {
      router.service(PushService, {
        pushToDevices: async (request) => {
          if (request.app === "away") throw new HoldfastError("unavailable", "NATS is away");
          if (request.app === "broken") throw new Error("secret detail");
          if (request.app === "slow") await new Promise<void>((end) => slowCalls.add(end));
          return { messageId: "m1", results: request.devices.map((target) => ({ target })) };
        },
        pushStream: async (requests) => {
          let received = 0n;
          for await (const _ of requests) received++;
          return { received };
        },
      });
    },
    ...options,
  });
  return server;
}

function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  return fetch(`${url}${PUSH}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** Sends bytes, and resolves to all that came back until the server closed the connection. */
async function talk(address: string, ...parts: (string | Buffer)[]): Promise<string> {
  const port = Number(address.split(":").at(-1));
  const socket = net.connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (data) => {
    received += data.toString("latin1");
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  for (const part of parts) {
    socket.write(part);
    // Parts arrive as packets of their own.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, "close");
  return received;
}

describe("one port", () => {
  const transports: [string, (url: string) => Transport][] = [
    ["Connect over HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect over HTTP/2", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
    ["gRPC over HTTP/2", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ];

  test.each(transports)("serves %s", async (_, transport) => {
    const { url } = await start();
    const client = createClient(PushService, transport(url));
    const answer = await client.pushToDevices({
      ...BODY,
      message: { business: "chat", payload: { case: "text", value: "hi" } },
    });
    expect(answer.results.map((result) => result.target)).toEqual(["d1"]);
  });

  test("takes a stream of pushes over gRPC", async () => {
    const { url } = await start();
    const client = createClient(PushService, createGrpcTransport({ baseUrl: url }));
    async function* pushes() {
      const broadcast = { app: "demo", message: { business: "chat" } };
      for (let n = 0; n < 3; n++) yield { push: { case: "broadcast" as const, value: broadcast } };
    }
    expect((await client.pushStream(pushes())).received).toBe(3n);
  });

  test("answers JSON that a person writes with curl", async () => {
    const { url } = await start();
    const answer = await post(url, BODY);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ messageId: "m1", results: [{ target: "d1" }] });
  });

  test("recognises HTTP/2 although its first bytes arrive one by one", async () => {
    const { address } = await start();
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
    const garbage = Buffer.alloc(20, 0xff);
    const received = await talk(address, ...[...preface].map((byte) => Buffer.of(byte)), garbage);
    // A SETTINGS frame: its type is the fourth byte.
    expect(received.charCodeAt(3)).toBe(4);
  });

  test("recognises HTTP/1.1 although its first bytes arrive one by one", async () => {
    const { address } = await start();
    const request = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    expect(await talk(address, ...request)).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\nok$/);
  });
});

describe("health", () => {
  test("/healthz says ok", async () => {
    const { url } = await start({ ready: () => false });
    const answer = await fetch(`${url}/healthz`);
    expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
  });

  test("/readyz tells whether the server can serve", async () => {
    let ready = false;
    const { url } = await start({ ready: () => ready });
    const before = await fetch(`${url}/readyz`);
    expect([before.status, await before.json()]).toEqual([503, { ready: false }]);
    ready = true;
    const after = await fetch(`${url}/readyz?x=1`);
    expect([after.status, await after.json()]).toEqual([200, { ready: true }]);
  });

  test("is served over HTTP/2 as well", async () => {
    const { url } = await start();
    const session = http2.connect(url);
    const stream = session.request({ ":path": "/healthz" });
    const [headers] = await once(stream, "response");
    let body = "";
    for await (const chunk of stream) body += chunk;
    expect([headers[":status"], body]).toEqual([200, "ok"]);
    session.close();
  });
});

describe("errors", () => {
  test("a broken rule is answered with the field and the rule", async () => {
    const { url } = await start();
    const answer = await post(url, { ...BODY, devices: ["fine", "line\nbreak"] });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: "invalid_argument",
      message: "devices[1]: must be 1 to 128 bytes of UTF-8 without control characters [string.id]",
    });
  });

  test("a misspelt field is named", async () => {
    const { url } = await start();
    const answer = await post(url, { ...BODY, device: "d1" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining('"device"'),
    });
  });

  test("a body that is not JSON is an invalid argument", async () => {
    const { url } = await start();
    const answer = await post(url, "{nonsense");
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "invalid_argument" });
  });

  test("text that is no Unicode is an invalid argument", async () => {
    const { url } = await start();
    const answer = await post(url, JSON.stringify(BODY).replace("d1", "\\ud800"));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "invalid_argument" });
  });

  test("a body above 4 MiB is refused", async () => {
    const { url } = await start();
    const text = "x".repeat(4 * 1024 * 1024);
    const answer = await post(url, { ...BODY, message: { business: "chat", text } });
    expect(await answer.json()).toMatchObject({ code: "resource_exhausted" });
  });

  test("what the gateway refuses keeps its text", async () => {
    const { url } = await start();
    const client = createClient(PushService, createGrpcTransport({ baseUrl: url }));
    const failed = await client
      .pushToDevices({ app: "away", devices: ["d"], message: { business: "b" } })
      .catch(ConnectError.from);
    expect(failed).toMatchObject({ code: Code.Unavailable, rawMessage: "NATS is away" });
  });

  test("the text of an unforeseen error stays in the log", async () => {
    const { log, lines } = recordingLogger();
    const { url } = await start({ log });
    const answer = await post(url, { ...BODY, app: "broken" });
    expect(answer.status).toBe(500);
    expect(await answer.json()).toEqual({ code: "internal", message: "internal error" });
    expect(lines).toContainEqual(
      expect.objectContaining({ err: expect.objectContaining({ message: "secret detail" }) }),
    );
  });

  test("an unknown path is a 404 that says so", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/nowhere?key=1`);
    expect([answer.status, await answer.json()]).toEqual([
      404,
      { code: "unimplemented", message: 'nothing is served at "/nowhere"' },
    ]);
  });
});

describe("callers that misbehave", () => {
  const stillServes = async (url: string) =>
    expect((await fetch(`${url}/healthz`)).status).toBe(200);

  test("garbage is answered with 400 and the end of the connection", async () => {
    const { address, url } = await start();
    expect(await talk(address, Buffer.alloc(64, 0xfe))).toMatch(/^HTTP\/1\.1 400 /);
    await stillServes(url);
  });

  test("a request without a host, or with a broken one, is answered with 400", async () => {
    const { address, url } = await start();
    const end =
      "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    expect(await talk(address, `POST ${PUSH} HTTP/1.0\r\n${end}`)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await talk(address, `POST ${PUSH} HTTP/1.1\r\nHost: [\r\n${end}`)).toMatch(
      /^HTTP\/1\.1 400 /,
    );
    await stillServes(url);
  });

  test("a connection that says nothing is closed", async () => {
    const { address } = await start({ limits: { firstBytesMs: 30 } });
    expect(await talk(address)).toBe("");
  });

  test("a connection that stops within the HTTP/2 preface is closed", async () => {
    const { address } = await start({ limits: { firstBytesMs: 30 } });
    expect(await talk(address, "PRI * HT")).toBe("");
  });

  test("headers that never end are answered with 408", async () => {
    const { address } = await start({ limits: { headersMs: 50 } });
    expect(await talk(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("headers that are too long are answered with 431", async () => {
    const { address } = await start();
    const request = `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`;
    expect(await talk(address, request)).toMatch(/^HTTP\/1\.1 431 /);
  });

  test("a caller that goes away in the middle of a call harms nobody", async () => {
    const { address, url } = await start();
    const socket = net.connect(Number(address.split(":").at(-1)), "127.0.0.1");
    const body = JSON.stringify({ ...BODY, app: "slow" });
    const headers = `Host: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
    socket.write(`POST ${PUSH} HTTP/1.1\r\n${headers}\r\n\r\n${body}`);
    await eventually("the call has begun", () => slowCalls.size === 1);
    socket.resetAndDestroy();
    finishSlowCalls();
    await stillServes(url);
  });
});

describe("browsers", () => {
  const preflight = (url: string) =>
    fetch(`${url}${PUSH}`, {
      method: "OPTIONS",
      headers: {
        Origin: "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
      },
    });

  test("a page of any origin may call where any is allowed", async () => {
    const { url } = await start({ origins: "any" });
    const leave = await preflight(url);
    expect(leave.status).toBe(204);
    expect(leave.headers.get("Access-Control-Allow-Origin")).toBe("*");
    expect(leave.headers.get("Access-Control-Allow-Headers")).toContain("Authorization");
    const answer = await post(url, BODY, { Origin: "https://app.example" });
    expect(answer.headers.get("Access-Control-Allow-Origin")).toBe("*");
  });

  test("a page of an origin that is not listed gets no leave", async () => {
    const { url } = await start({ origins: ["https://other.example"] });
    expect((await preflight(url)).headers.get("Access-Control-Allow-Origin")).toBeNull();
  });

  test("a page of a listed origin gets leave for itself", async () => {
    const { url } = await start({ origins: ["https://app.example"] });
    const { headers } = await preflight(url);
    expect(headers.get("Access-Control-Allow-Origin")).toBe("https://app.example");
    expect(headers.get("Vary")).toBe("Origin");
  });

  test("no page of another origin gets leave unless it was configured", async () => {
    const { url } = await start();
    expect((await preflight(url)).headers.get("Access-Control-Allow-Origin")).toBeNull();
  });
});

describe("start and close", () => {
  test("an address in use is a clear error", async () => {
    const { address } = await start();
    const port = Number(address.split(":").at(-1));
    const second = startHttpServer({
      listen: { host: "127.0.0.1", port },
      log: quietLogger,
      ready: () => true,
      routes: () => {},
    });
    await expect(second).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  });

  test("pages are served beside the API", async () => {
    const { url } = await start({
      pages: (_, response) => {
        response.writeHead(200);
        response.end("a page");
      },
    });
    expect(await (await fetch(`${url}/console`)).text()).toBe("a page");
  });

  test("a call under way ends well while the server closes, twice if asked", async () => {
    const running = await start();
    const call = post(running.url, { ...BODY, app: "slow" });
    const grpc = createClient(PushService, createGrpcTransport({ baseUrl: running.url }));
    const grpcCall = grpc.pushToDevices({
      app: "slow",
      devices: ["d"],
      message: { business: "b" },
    });
    await eventually("both calls have begun", () => slowCalls.size === 2);
    const closed = [running[Symbol.asyncDispose](), running[Symbol.asyncDispose]()];
    finishSlowCalls();
    await Promise.all(closed);
    expect((await call).status).toBe(200);
    expect((await grpcCall).messageId).toBe("m1");
  });

  test("callers that hold on to idle connections do not hold up the close", async () => {
    const forever = 3_600_000;
    const running = await start({ graceMs: forever, limits: { firstBytesMs: forever } });
    const agent = new http.Agent({ keepAlive: true });
    const request = http.get(`${running.url}/healthz`, { agent });
    const [response] = await once(request, "response");
    response.resume();
    await once(response, "end");
    const session = http2.connect(running.url);
    await once(session, "remoteSettings");
    const silent = net.connect(Number(running.address.split(":").at(-1)), "127.0.0.1");
    await once(silent, "connect");
    silent.on("error", () => {});
    await running[Symbol.asyncDispose]();
    agent.destroy();
  });

  test("a caller that never finishes is cut off when the grace is over", async () => {
    const running = await start({ graceMs: 50 });
    const received = talk(
      running.address,
      `POST ${PUSH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n`,
    );
    await fetch(`${running.url}/healthz`);
    await running[Symbol.asyncDispose]();
    expect(await received).toBe("");
  });
});
