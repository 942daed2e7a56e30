/** grpc.health.v1 as callers of other makes ask for it: grpc-js, Connect, and plain JSON. */
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HttpServer } from "../../internal/http/server.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { eventually } from "../support/eventually.ts";
import { type GrpcCaller, grpcClient } from "../support/grpc-client.ts";
import { doorkeeper, serve } from "./serve.ts";

const PUSH_SERVICE = "holdfast.push.v1.PushService";

let server: HttpServer;
let ready: boolean;
let health: GrpcCaller;

beforeEach(async () => {
  ready = true;
  server = await serve({ ready: () => ready, doorkeeper });
  health = grpcClient("grpc/health/v1/health.proto", "grpc.health.v1.Health", server.address);
});
afterEach(async () => {
  health[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

describe("grpc-js", () => {
  test.each(["", PUSH_SERVICE, "grpc.health.v1.Health"])(
    "is told the status of %j, without a key",
    async (service) => {
      expect(await health.call("Check", { service })).toEqual({ status: "SERVING" });
      ready = false;
      expect(await health.call("Check", { service })).toEqual({ status: "NOT_SERVING" });
    },
  );

  test("is told that a service is not here", async () => {
    await expect(health.call("Check", { service: "a.B" })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  test("watches the status change, and hears of the end", async () => {
    ready = false;
    const heard: unknown[] = [];
    const ended = new Promise<{ code: number }>((done) => {
      const stream = health.stream("Watch", { service: PUSH_SERVICE });
      stream.on("data", (message: { status: string }) => heard.push(message.status));
      stream.on("error", done);
    });
    await eventually("the first", () => heard.length === 1);
    ready = true;
    await eventually("the change", () => heard.length === 2);
    await server[Symbol.asyncDispose]();
    expect(heard).toEqual(["NOT_SERVING", "SERVING", "NOT_SERVING"]);
    expect((await ended).code).toBe(status.UNAVAILABLE);
  });

  test("watches a service that is not here, which is no error", async () => {
    const stream = health.stream("Watch", { service: "a.B" });
    const [first] = await stream.take(1).toArray();
    expect(first).toEqual({ status: "SERVICE_UNKNOWN" });
    stream.on("error", () => {});
    stream.cancel();
  });
});

test.each([
  ["Connect", createConnectTransport],
  ["gRPC-Web", createGrpcWebTransport],
])("a %s client checks and watches", async (_, transport) => {
  const client = createClient(Health, transport({ baseUrl: server.url, httpVersion: "1.1" }));
  expect((await client.check({})).status).toBe(ServingStatus.SERVING);
  for await (const { status: watched } of client.watch({})) {
    expect(watched).toBe(ServingStatus.SERVING);
    break;
  }
});

test("plain JSON over HTTP checks", async () => {
  const answer = await fetch(`${server.url}/grpc.health.v1.Health/Check`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ service: PUSH_SERVICE }),
  });
  expect([answer.status, await answer.json()]).toEqual([200, { status: "SERVING" }]);
});
