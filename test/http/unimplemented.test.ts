import { Client, credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpServer } from "../../internal/http/server.ts";
import { GOOD, serve } from "./serve.ts";

let server: HttpServer;
beforeEach(async () => {
  server = await serve({
    // As a console answers what is not one of its pages.
    pages: (_, response) => {
      response.writeHead(405);
      response.end();
    },
  });
});
afterEach(() => server[Symbol.asyncDispose]());

describe.each([
  ["service", "/holdfast.push.v1.NoService/PushToDevices"],
  ["method", "/holdfast.push.v1.PushService/NoMethod"],
])("a %s that is not here", (_, path) => {
  test("is unimplemented for a gRPC client", async () => {
    const client = new Client(server.address, credentials.createInsecure());
    const asIs = (bytes: Buffer) => bytes;
    const error = await new Promise<{ code: number; details: string } | null>((done) => {
      client.makeUnaryRequest(path, asIs, asIs, GOOD, done);
    });
    client.close();
    expect(error).toMatchObject({
      code: status.UNIMPLEMENTED,
      details: `nothing is served at "${path}"`,
    });
  });

  test("is unimplemented for a gRPC-Web client, by the headers", async () => {
    const answer = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/grpc-web+proto" },
      body: Buffer.from([0, 0, 0, 0, 0]),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("application/grpc-web+proto");
    expect(answer.headers.get("grpc-status")).toBe("12");
  });

  test.each(["application/json", "application/proto", "application/connect+proto"])(
    "is a 404 for a Connect client with %s",
    async (type) => {
      const answer = await fetch(`${server.url}${path}`, {
        method: "POST",
        headers: { "Content-Type": type },
        body: "{}",
      });
      expect([answer.status, await answer.json()]).toMatchObject([404, { code: "unimplemented" }]);
    },
  );
});

test("a page is still asked for what is no call", async () => {
  expect((await fetch(`${server.url}/demo/x`, { method: "POST" })).status).toBe(405);
});
