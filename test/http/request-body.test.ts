/** What is asked, and in which order, before the body of a call is read; and how long that may take. */
import http2 from "node:http2";
import { afterEach, describe, expect, test } from "vitest";
import { MessageMeter } from "../../internal/http/message-meter.ts";
import type { HttpServer, HttpServerOptions } from "../../internal/http/server.ts";
import {
  chunk,
  doorkeeper,
  envelope,
  GOOD,
  Http1Connection,
  item,
  KEY,
  PUSH,
  postHead,
  STREAM,
  serve,
} from "./serve.ts";

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

async function start(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  server = await serve({ graceMs: 100, ...options });
  return server;
}

const MIB = 1_024 * 1_024;
const announced = `Content-Length: ${200 * MIB}`;

describe("a call that announces 200 MiB is refused before any of it is sent", () => {
  test.each([
    ["for the wrong key, whatever its size", "Authorization: Bearer wrong", 401, "unauthenticated"],
    ["for its size with the right key", `Authorization: Bearer ${KEY}`, 429, "resource_exhausted"],
  ])("%s", async (_, authorization, status, code) => {
    const { address } = await start({ doorkeeper });
    using connection = await Http1Connection.open(address);
    await connection.write(postHead(PUSH, "application/proto", announced, authorization));
    const answer = await connection.answer();
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(answer).toContain(code);
  });
});

test("a wrong key is told before the body is read: also of a message that is none", async () => {
  const { url } = await start({ doorkeeper });
  const answer = await fetch(`${url}${PUSH}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: "Bearer wrong" },
    body: "{nonsense",
  });
  expect(answer.status).toBe(401);
});

test("an envelope that is too long is refused by its head", async () => {
  const { url } = await start();
  const session = http2.connect(url);
  const stream = session.request({
    ":method": "POST",
    ":path": PUSH,
    "content-type": "application/grpc",
  });
  stream.on("error", () => {});
  stream.resume();
  stream.write(Buffer.from([0, 0x0c, 0x80, 0, 0, 1]));
  const trailers = await new Promise<http2.IncomingHttpHeaders>((done) =>
    stream.once("trailers", done),
  );
  expect(trailers["grpc-status"]).toBe("8");
  session.destroy();
});

describe("a body that drips", () => {
  /** A byte now and then, for as long as the connection takes it. */
  function drip(connection: Http1Connection, byte: () => Uint8Array): Disposable {
    const timer = setInterval(() => connection.socket.write(byte()), 20);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  test("is given up in a call of one message, however steadily it drips", async () => {
    const { address } = await start({ limits: { messageMs: 300 } });
    using connection = await Http1Connection.open(address);
    await connection.write(postHead(PUSH, "application/proto", "Content-Length: 100000"));
    using _ = drip(connection, () => Buffer.of(0));
    expect(await connection.answer()).toContain("deadline_exceeded");
  });

  test("is given up in the middle of a message of a stream", async () => {
    const { address } = await start({ limits: { messageMs: 300 } });
    using connection = await Http1Connection.open(address);
    const head = postHead(STREAM, "application/connect+proto", "Transfer-Encoding: chunked");
    await connection.write(head);
    await connection.write(chunk(envelope(item("demo", 60_000)).subarray(0, 100)));
    using _ = drip(connection, () => chunk(Buffer.of(0)));
    expect(await connection.answer()).toContain("deadline_exceeded");
  });

  test("is waited for between the messages of a stream", async () => {
    const { address } = await start({ limits: { messageMs: 300 } });
    using connection = await Http1Connection.open(address);
    const head = postHead(STREAM, "application/connect+proto", "Transfer-Encoding: chunked");
    await connection.write(head);
    for (let n = 0; n < 3; n++) {
      await connection.write(chunk(envelope(item("demo"))));
      await new Promise((later) => setTimeout(later, 400));
    }
    await connection.write(chunk(Buffer.of()));
    const answer = await connection.answer();
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).not.toContain("error");
  });
});

test("messages are told apart wherever the stream is split", () => {
  const stream = Buffer.concat([
    envelope(GOOD),
    envelope(Buffer.of()),
    envelope(Buffer.alloc(300)),
  ]);
  const ends = [GOOD.length + 5, GOOD.length + 10, stream.length];
  const meter = new MessageMeter();
  for (const [at, byte] of stream.entries()) {
    const completes = ends.includes(at + 1);
    expect(meter.take(Buffer.of(byte))).toBe(completes);
    expect(meter.within).toBe(!completes);
  }
  for (let at = 0; at <= stream.length; at++) {
    const split = new MessageMeter();
    split.take(stream.subarray(0, at));
    split.take(stream.subarray(at));
    expect(split.within).toBe(false);
  }
});
