/** Calls whose answer does not wait for the rest of their request. */
import { once } from "node:events";
import http2 from "node:http2";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import type { HttpServer, HttpServerOptions } from "../../internal/http/server.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { eventually } from "../support/eventually.ts";
import {
  chunk,
  doorkeeper,
  envelope,
  GOOD,
  Http1Connection,
  item,
  PUSH,
  postHead,
  STREAM,
  serve,
} from "./serve.ts";

const MIB = 1_024 * 1_024;
const HEADERS = {
  ":method": "POST",
  ":path": STREAM,
  "content-type": "application/grpc",
  te: "trailers",
};
const TOO_LONG = Buffer.alloc(4 * MIB + 1);

let server: HttpServer | undefined;
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

async function start(options: Partial<HttpServerOptions> = {}): Promise<HttpServer> {
  server = await serve({ graceMs: 100, ...options });
  return server;
}

/** A gRPC client that sends and gives bytes as they are. */
function grpcCaller(address: string) {
  const client = new Client(address, credentials.createInsecure());
  const asIs = (bytes: Buffer) => bytes;
  const call = (message: Buffer) =>
    new Promise<number>((done) => {
      client.makeUnaryRequest(PUSH, asIs, asIs, message, (error) => done(error?.code ?? status.OK));
    });
  return { call, [Symbol.dispose]: () => client.close() };
}

describe("many calls on one channel", { timeout: 120_000 }, () => {
  test("oversized ones leave nothing behind: as many good ones as there are streams succeed", async () => {
    const streams = 16;
    const { address } = await start({ limits: { streamsPerConnection: streams } });
    using grpc = grpcCaller(address);
    for (let n = 0; n < streams + 4; n++) {
      expect(await grpc.call(TOO_LONG)).toBe(status.RESOURCE_EXHAUSTED);
    }
    // Its answer says that the server has read the end of the last one.
    expect(await grpc.call(GOOD)).toBe(status.OK);
    const good = await Promise.all(Array.from({ length: 4 * streams }, () => grpc.call(GOOD)));
    expect(new Set(good)).toEqual(new Set([status.OK]));
  });

  test("3,000 at once wait for their turn and succeed", async () => {
    const { address } = await start();
    using grpc = grpcCaller(address);
    const good = await Promise.all(Array.from({ length: 3_000 }, () => grpc.call(GOOD)));
    expect(new Set(good)).toEqual(new Set([status.OK]));
  });
});

describe("one HTTP/1.1 connection", { timeout: 120_000 }, () => {
  const length = (bytes: Uint8Array) => `Content-Length: ${bytes.length}`;
  const good = Buffer.concat([
    Buffer.from(postHead(PUSH, "application/proto", length(GOOD))),
    GOOD,
  ]);

  test("serves on after oversized calls, with a length and in chunks", async () => {
    const { address } = await start();
    using connection = await Http1Connection.open(address);
    for (let n = 0; n < 3; n++) {
      await connection.write(postHead(PUSH, "application/proto", length(TOO_LONG)));
      await connection.write(TOO_LONG);
      expect(await connection.answer()).toContain("resource_exhausted");
      await connection.write(postHead(PUSH, "application/proto", "Transfer-Encoding: chunked"));
      await connection.write(chunk(TOO_LONG));
      await connection.write(chunk(Buffer.of()));
      expect(await connection.answer()).toContain("resource_exhausted");
      await connection.write(good);
      expect(await connection.answer()).toMatch(/^HTTP\/1\.1 200 /);
    }
  });

  test("serves on after a stream that failed with its body already sent", async () => {
    const { address } = await start();
    using connection = await Http1Connection.open(address);
    const head = postHead(STREAM, "application/connect+proto", "Transfer-Encoding: chunked");
    const items = [item("nobody"), ...Array.from({ length: 16 }, () => item("demo", 65_536))];
    const sent = items.map((one) => chunk(envelope(one)));
    await connection.write(Buffer.concat([Buffer.from(head), ...sent, chunk(Buffer.of()), good]));
    expect(await connection.answer()).toContain("app: unknown");
    expect(await connection.answer()).toMatch(/^HTTP\/1\.1 200 [\s\S]*m1/);
  });

  test("gets its answer and its end when it sends 200 MiB, and not a reset", async () => {
    const { address } = await start();
    using connection = await Http1Connection.open(address);
    const announced = `Content-Length: ${200 * MIB}`;
    await connection.write(postHead(PUSH, "application/proto", announced));
    const answer = connection.answer();
    for (let sent = 0; sent < 200 && !connection.closed; sent++) {
      await connection.write(Buffer.alloc(MIB));
    }
    expect(await answer).toMatch(/^HTTP\/1\.1 429 [\s\S]*resource_exhausted/);
    expect(await answer).toMatch(/^connection: close\r$/im);
    expect(connection.socket.bytesWritten).toBeLessThan(100 * MIB);
  });

  test("that says Connection: close gets its answer too", async () => {
    const { address } = await start();
    using connection = await Http1Connection.open(address);
    const head = postHead(PUSH, "application/proto", length(TOO_LONG), "Connection: close");
    await connection.write(head);
    const answer = connection.answer();
    await connection.write(TOO_LONG);
    expect(await answer).toContain("resource_exhausted");
    await eventually("the connection is closed", () => connection.closed);
  });
});

describe("a stream that fails early with 1 MiB on its way gets the real error", () => {
  const transports: [string, (url: string) => Transport][] = [
    ["Connect, HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
    ["Connect, HTTP/2", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
    ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
    ["gRPC-Web, HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
    ["gRPC-Web, HTTP/2", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
  ];
  const payload = { case: "text" as const, value: "x".repeat(65_536) };
  const message = { business: "chat", payload };

  async function* pushes(first: object) {
    yield first;
    for (let n = 0; n < 16; n++) {
      yield { push: { case: "broadcast" as const, value: { app: "demo", message } } };
    }
  }
  const broadcast = (value: object) => ({ push: { case: "broadcast" as const, value } });
  const huge = { ...message, payload: { ...payload, value: "x".repeat(4 * MIB) } };

  describe.each(transports)("%s", (_, transport) => {
    test.each([
      ["an invalid item", {}, "push: exactly one field is required"],
      ["an item that the service refuses", broadcast({ app: "nobody", message }), "app: unknown"],
      ["an oversized one", broadcast({ app: "demo", message: huge }), "is larger than"],
    ])("of %s", async (_case, first, text) => {
      const { url } = await start();
      const client = createClient(PushService, transport(url));
      await expect(client.pushStream(pushes(first))).rejects.toThrow(text);
    });

    test("of a wrong key", async () => {
      const { url } = await start({ doorkeeper });
      const client = createClient(PushService, transport(url));
      await expect(client.pushStream(pushes({}))).rejects.toThrow("wrong key");
    });
  });
});

describe("an HTTP/2 stream that fails early", () => {
  /** A stream whose first item is refused. */
  function failing(url: string) {
    const session = http2.connect(url);
    const stream = session.request(HEADERS);
    stream.on("error", () => {});
    stream.resume();
    const trailers = once(stream, "trailers").then(([fields]) => fields);
    stream.write(envelope(item("nobody")));
    return { session, stream, trailers };
  }

  test("has its window opened again, so that what is on its way is taken", async () => {
    const { url } = await start();
    const { session, stream, trailers } = failing(url);
    // Four times the window of a stream.
    const taken = new Promise((done) => stream.write(Buffer.alloc(MIB), done));
    expect((await trailers)["grpc-message"]).toContain("unknown");
    expect(await taken).toBeFalsy();
    session.destroy();
  });

  test("that is sent to without end is reset once its answer is out", async () => {
    const { url } = await start();
    const { session, stream, trailers } = failing(url);
    let sent = 0;
    const more = () => {
      while (!stream.destroyed && !stream.closed && stream.write(Buffer.alloc(MIB))) sent++;
      sent++;
    };
    stream.on("drain", more);
    more();
    await once(stream, "close");
    expect((await trailers)["grpc-message"]).toContain("unknown");
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    expect(sent).toBeLessThan(64);
    session.destroy();
  });

  test("whose caller says nothing more is answered all the same", async () => {
    const { url } = await start();
    const { session, trailers } = failing(url);
    expect((await trailers)["grpc-message"]).toContain("unknown");
    session.destroy();
  });
});
