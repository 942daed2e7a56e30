/** Callers that have the .proto files or plain HTTP, and nothing of ours. */
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { grpcClient, grpcPush } from "../support/grpc-client.ts";
import { APP, type FakeNode } from "./fake-cluster.ts";
import { API_KEY, type Served, serve } from "./served.ts";

let served: Served;
let node: FakeNode;

beforeEach(async () => {
  served = await serve();
  node = served.cluster.node("a-1");
  served.cluster.login("d1", node);
});
afterEach(() => served[Symbol.asyncDispose]());

test("a gRPC client made from the .proto files pushes to a device", async () => {
  const reply = await grpcPush(served.server.address, API_KEY, {
    app: APP,
    devices: ["d1", "d2"],
    message: { business: "chat", text: "by grpc", metadata: { a: "b" } },
  });
  expect(reply.results).toMatchObject([
    { target: "d1", status: "SENT" },
    { target: "d2", status: "UNKNOWN" },
  ]);
  expect(node.texts()).toEqual(["by grpc"]);
});

test("a gRPC client gets gRPC's own status codes", async () => {
  const request = { app: APP, devices: ["d1"], message: { business: "chat" } };
  await expect(grpcPush(served.server.address, "wrong", request)).rejects.toMatchObject({
    code: status.UNAUTHENTICATED,
  });
  await expect(
    grpcPush(served.server.address, API_KEY, { ...request, devices: ["\n"] }),
  ).rejects.toMatchObject({
    code: status.INVALID_ARGUMENT,
    details: expect.stringContaining("devices[0]"),
  });
});

test("JSON over HTTP pushes to a device", async () => {
  const url = `${served.server.url}/holdfast.push.v1.PushService/PushToDevices`;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({
      app: APP,
      devices: ["d1"],
      message: { message_id: "m1", business: "chat", text: "by fetch" },
      options: { priority: "HIGH", delivery: "BEST_EFFORT" },
    }),
  });
  expect([answer.status, await answer.json()]).toEqual([
    200,
    { messageId: "m1", results: [{ target: "d1", status: "SENT" }] },
  ]);
  expect(node.texts()).toEqual(["by fetch"]);
});

test("gRPC-Web, as a browser sends it, pushes to a device", async () => {
  // PushToDevicesRequest{app: "demo", devices: ["d1"], message: {business: "chat"}}
  const request = Buffer.from("\n\x04demo\x12\x02d1\x1a\x06\x12\x04chat", "latin1");
  const head = Buffer.from([0, 0, 0, 0, request.length]);
  const answer = await fetch(`${served.server.url}/holdfast.push.v1.PushService/PushToDevices`, {
    method: "POST",
    headers: {
      "Content-Type": "application/grpc-web+proto",
      "X-Grpc-Web": "1",
      Authorization: `Bearer ${API_KEY}`,
    },
    body: Buffer.concat([head, request]),
  });
  const body = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  expect(answer.headers.get("content-type")).toBe("application/grpc-web+proto");
  expect(body.toLowerCase()).toMatch(/grpc-status: ?0/);
  expect(node.delivered).toHaveLength(1);
});

test("gRPC's health check says whether NATS is there, for each service and without a key", async () => {
  const file = "grpc/health/v1/health.proto";
  using health = grpcClient(file, "grpc.health.v1.Health", served.server.address);
  const services = [
    "",
    "holdfast.push.v1.PushService",
    "holdfast.directory.v1.DirectoryService",
    "holdfast.business.v1.BusinessRegistryService",
  ];
  const statuses = () => Promise.all(services.map((service) => health.call("Check", { service })));
  expect(await statuses()).toEqual(services.map(() => ({ status: "SERVING" })));
  served.cluster.ground.link.connected = false;
  expect(await statuses()).toEqual(services.map(() => ({ status: "NOT_SERVING" })));
});

test("JSON that is not UTF-8 is refused by every service", async () => {
  const method = "holdfast.directory.v1.DirectoryService/GetDevices";
  const answer = await fetch(`${served.server.url}/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${API_KEY}` },
    body: Buffer.from(JSON.stringify({ app: APP, devices: ["d\xff"] }), "latin1"),
  });
  expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_argument" }]);
});
