/** Whose fault a failed call is: what its caller is told, and what the log says. */
import { once } from "node:events";
import http2 from "node:http2";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpServer } from "../../internal/http/server.ts";
import { eventually } from "../support/eventually.ts";
import { recordingLogger } from "../support/logger.ts";
import { BODY, envelope, Http1Connection, item, PUSH, postHead, STREAM, serve } from "./serve.ts";

let server: HttpServer;
let lines: Record<string, unknown>[];
const printed: unknown[] = [];
const consoleError = console.error;

beforeEach(async () => {
  const recording = recordingLogger();
  lines = recording.lines;
  server = await serve({ log: recording.log });
  console.error = (...args: unknown[]) => printed.push(args);
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  console.error = consoleError;
  // Nothing here is a fault of the server's.
  expect(printed).toEqual([]);
  expect(lines.filter(({ level }) => Number(level) > 20)).toEqual([]);
});

const INFO_GROUP_END = Buffer.of(0x0f);

describe("bytes that are no message are an invalid argument", () => {
  test("in Connect", async () => {
    const answer = await fetch(`${server.url}${PUSH}`, {
      method: "POST",
      headers: { "Content-Type": "application/proto" },
      body: INFO_GROUP_END,
    });
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_argument" }]);
  });

  test.each([
    ["gRPC", PUSH, "application/grpc"],
    ["gRPC-Web", PUSH, "application/grpc-web+proto"],
    ["a gRPC stream", STREAM, "application/grpc"],
  ])("in %s", async (_, path, type) => {
    const session = http2.connect(server.url);
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": type });
    stream.end(envelope(INFO_GROUP_END));
    const trailers = once(stream, "trailers").then(([fields]) => fields["grpc-status"]);
    const body = stream
      .toArray()
      .then((chunks) => /grpc-status: ?(\d+)/i.exec(chunks.join(""))?.[1]);
    expect(type.includes("web") ? await body : await trailers).toBe("3");
    session.destroy();
  });

  test("in a Connect stream", async () => {
    const answer = await fetch(`${server.url}${STREAM}`, {
      method: "POST",
      headers: { "Content-Type": "application/connect+proto" },
      body: envelope(INFO_GROUP_END),
    });
    expect(await answer.text()).toContain("invalid_argument");
  });
});

test("JSON that is not UTF-8 is an invalid argument, and no name with U+FFFD in it", async () => {
  const answer = await fetch(`${server.url}${PUSH}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: Buffer.from(JSON.stringify({ ...BODY, devices: ["d\xff"] }), "latin1"),
  });
  expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_argument" }]);
});

test("a stream that its caller cancels is nobody's fault", async () => {
  const session = http2.connect(server.url);
  const stream = session.request({
    ":method": "POST",
    ":path": STREAM,
    "content-type": "application/grpc",
  });
  stream.on("error", () => {});
  stream.write(envelope(item("demo")));
  await new Promise((done) => session.ping(done));
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await eventually("its end is in the access log", () =>
    lines.some(({ msg, code }) => msg === "call" && code === "Canceled"),
  );
  session.destroy();
});

test("a connection that breaks in the middle of a body is nobody's fault", async () => {
  using connection = await Http1Connection.open(server.address);
  const head = postHead(STREAM, "application/connect+proto", "Transfer-Encoding: chunked");
  await connection.write(head);
  await new Promise((later) => setTimeout(later, 50));
  connection.socket.resetAndDestroy();
  await eventually("its end is in the access log", () =>
    lines.some(({ msg, code }) => msg === "call" && code !== "ok"),
  );
});

test("a deadline that passes ends a stream that still waits for its caller", async () => {
  const session = http2.connect(server.url);
  const stream = session.request({
    ":method": "POST",
    ":path": STREAM,
    "content-type": "application/grpc",
    "grpc-timeout": "200m",
  });
  stream.resume();
  stream.write(envelope(item("demo")));
  const [trailers] = await once(stream, "trailers");
  expect(trailers["grpc-status"]).toBe("4");
  expect(lines).toContainEqual(expect.objectContaining({ msg: "call", code: "DeadlineExceeded" }));
  session.destroy();
});
