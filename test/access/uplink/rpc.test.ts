import { createServer, type RequestListener } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freePort } from "../../../internal/nats-server/free-port.ts";
import { BusinessService } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Business } from "../../../streams/records.ts";
import { startNode, type TestNode } from "../node.ts";
import { register, text } from "./businesses.ts";

let at: TestNode;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  at = stack.use(await startNode());
});
afterEach(() => stack.disposeAsync());

type Answer = ServiceImpl<typeof BusinessService>["handleUplink"];

function adapterOf(handleUplink: Answer): RequestListener {
  return connectNodeAdapter({
    routes: (router) => void router.service(BusinessService, { handleUplink }),
  });
}

/** Listens until the test is over; returns the base URL. */
async function listen(handler: RequestListener, http2 = false): Promise<string> {
  const server = http2 ? createHttp2Server(handler as never) : createServer(handler);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  stack.defer(() => {
    server.close();
    if ("closeAllConnections" in server) server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a client is told when business "shop" is at this URL. */
async function answersOf(url: string, settings: Partial<Business> = {}) {
  await register(at, "shop", { mode: "rpc", url, timeoutMs: 5_000, ...settings });
  const { client } = await at.login({ user: "ann" });
  client.send({
    uplink: { business: "shop", requestId: "1", wantReply: true, payload: text("ping") },
  });
  const ack = await client.next("uplinkAck");
  const reply = await client.next("uplinkReply");
  const [business] = at.node.businesses();
  return { ack: ack.status, reply, counters: business?.counters };
}

const echo: Answer = ({ payload, user, app }) => ({
  payload: text(`${app} ${user} ${payload.case === "text" ? payload.value : ""}`),
});

describe("an uplink to a business with a URL", () => {
  test("is answered over the Connect protocol", async () => {
    const { ack, reply } = await answersOf(await listen(adapterOf(echo)));
    expect(ack).toBe(UplinkStatus.OK);
    expect(reply).toMatchObject({ status: UplinkStatus.OK, payload: text("shop ann ping") });
  });

  test("is answered over gRPC", async () => {
    const url = await listen(adapterOf(echo), true);
    const { reply } = await answersOf(url, { protocol: "grpc" });
    expect(reply).toMatchObject({ status: UplinkStatus.OK, payload: text("shop ann ping") });
  });

  test("is refused with the business's own words, by its answer or by an error", async () => {
    const refused = await answersOf(await listen(adapterOf(() => ({ refused: "not today" }))));
    expect(refused.reply).toMatchObject({
      status: UplinkStatus.REFUSED,
      payload: text("not today"),
    });
    const throwing = adapterOf(() => {
      throw new ConnectError("no such order", Code.NotFound);
    });
    const { reply } = await answersOf(await listen(throwing));
    expect(reply).toMatchObject({ status: UplinkStatus.REFUSED, payload: text("no such order") });
  });

  test("is busy when the business says that it has had enough", async () => {
    const throwing = adapterOf(() => {
      throw new ConnectError("later", Code.ResourceExhausted);
    });
    expect((await answersOf(await listen(throwing))).ack).toBe(UplinkStatus.BUSY);
  });
});

describe("the client is told what it can know", () => {
  test("when nobody listens at the URL", async () => {
    const { ack } = await answersOf(`http://127.0.0.1:${await freePort()}`);
    expect(ack).toBe(UplinkStatus.UNAVAILABLE);
  });

  test("when the answer never comes", async () => {
    const url = await listen(() => {});
    expect((await answersOf(url, { timeoutMs: 200 })).ack).toBe(UplinkStatus.TIMEOUT);
  });

  test("when the answer comes a byte at a time", async () => {
    const url = await listen((_, response) => {
      response.writeHead(200, { "content-type": "application/proto" });
      const drip = setInterval(() => response.write("a"), 20);
      response.on("close", () => clearInterval(drip));
    });
    expect((await answersOf(url, { timeoutMs: 300 })).ack).toBe(UplinkStatus.TIMEOUT);
  });

  test.each<[string, RequestListener]>([
    ["garbage", (_, response) => response.writeHead(200).end("<html>")],
    [
      "garbage that says it is protobuf",
      (_, response) =>
        response.writeHead(200, { "content-type": "application/proto" }).end(Buffer.of(7, 7)),
    ],
    ["not found", (_, response) => response.writeHead(404).end()],
    ["an error of a bug", (_, response) => response.writeHead(500).end("oops")],
  ])("when the answer is %s, which is counted", async (_, handler) => {
    const { ack, counters } = await answersOf(await listen(handler));
    expect(ack).toBe(UplinkStatus.UNAVAILABLE);
    expect(counters?.badAnswers).toBe(1);
  });

  test("when the answer is a redirect, which is not followed", async () => {
    let followed = 0;
    const elsewhere = await listen((_, response) => {
      followed += 1;
      response.end();
    });
    const url = await listen((request, response) =>
      response.writeHead(307, { location: `${elsewhere}${request.url}` }).end(),
    );
    const { ack, counters } = await answersOf(url);
    expect(ack).toBe(UplinkStatus.UNAVAILABLE);
    expect(counters?.badAnswers).toBe(1);
    expect(followed).toBe(0);
  });

  test("when the connection is cut in the middle of the answer", async () => {
    const url = await listen((_, response) => {
      response.writeHead(200, { "content-type": "application/proto", "content-length": "100" });
      response.write("abc", () => response.destroy());
    });
    expect((await answersOf(url)).ack).toBe(UplinkStatus.UNAVAILABLE);
  });

  test.each([
    ["a little", 2_000],
    ["a lot", 1_000_000],
  ])("when the reply is too long by %s, though the business has it", async (_, length) => {
    const url = await listen(adapterOf(() => ({ payload: text("x".repeat(length)) })));
    const { ack, reply, counters } = await answersOf(url, { maxReplyBytes: 1_000 });
    expect(ack).toBe(UplinkStatus.OK);
    expect(reply.status).toBe(UplinkStatus.TOO_LARGE);
    expect(counters?.repliesTooLarge).toBe(1);
  });
});
