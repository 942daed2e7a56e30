import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { startNode, type TestNode } from "../node.ts";
import { register, serve, text } from "./businesses.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
  await register(at, "chat", {});
});
afterEach(() => at[Symbol.asyncDispose]());

const ask = { business: "chat", requestId: "1", wantReply: true };
const again = { ...ask, retransmit: true };

describe("an uplink sent again", () => {
  test("is answered again with the same answer, and the business is not called again", async () => {
    const server = serve(at, "chat", { payload: text("pong") });
    const { client } = await at.login();
    client.send({ uplink: ask });
    await client.next("uplinkReply");
    client.send({ uplink: again });
    expect(await client.next("uplinkReply")).toMatchObject({
      status: UplinkStatus.OK,
      payload: text("pong"),
    });
    expect(server.received.length).toBe(1);
    expect([...at.node.businesses()][0]?.counters.repeated).toBe(1);
  });

  test("while the first is under way is called once, and answered twice", async () => {
    const server = serve(at, "chat");
    const { client } = await at.login();
    client.send({ uplink: ask });
    client.send({ uplink: again });
    await eventually("it was called", () => server.received.length === 1);
    client.send({ ping: {} });
    await client.next("pong");
    server.answer("1", { payload: text("pong") });
    for (let i = 0; i < 2; i += 1) {
      expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
      expect((await client.next("uplinkReply")).payload).toEqual(text("pong"));
    }
    expect(server.received.length).toBe(1);
  });

  test("over another connection of the device is answered there", async () => {
    const server = serve(at, "chat");
    const { client } = await at.login();
    client.send({ uplink: ask });
    await eventually("it was called", () => server.received.length === 1);
    client.abort();
    await eventually("it is gone", () => at.metrics.connections === 0);
    const { client: next } = await at.login();
    next.send({ uplink: again });
    next.send({ ping: {} });
    await next.next("pong");
    server.answer("1", { payload: text("pong") });
    expect((await next.next("uplinkReply")).payload).toEqual(text("pong"));
    next.send({ uplink: again });
    expect((await next.next("uplinkReply")).payload).toEqual(text("pong"));
    expect(server.received.length).toBe(1);
  });

  test("by another device, or to another business, is another uplink", async () => {
    await register(at, "news", {});
    const chat = serve(at, "chat", {});
    const news = serve(at, "news", {});
    const { client } = await at.login();
    const { client: other } = await at.login({ device: "d2" });
    client.send({ uplink: ask });
    other.send({ uplink: again });
    client.send({ uplink: { ...again, business: "news" } });
    await Promise.all([client.next("uplinkReply"), other.next("uplinkReply")]);
    await client.next("uplinkReply");
    expect([chat.received.length, news.received.length]).toEqual([2, 1]);
  });

  test("is called again when the business did not have it", async () => {
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
    const server = serve(at, "chat", {});
    client.send({ uplink: again });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.OK);
    expect(server.received).toMatchObject([{ retransmit: true }]);
  });

  test("and never seen before is forwarded, and said to be one", async () => {
    const server = serve(at, "chat", {});
    const { client } = await at.login();
    client.send({ uplink: again });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.OK);
    expect(server.received).toMatchObject([{ retransmit: true }]);
  });
});

describe("a request id that is used twice without saying so", () => {
  test("is refused while the first is under way, which is counted", async () => {
    const server = serve(at, "chat");
    const { client } = await at.login();
    client.send({ uplink: ask });
    client.send({ uplink: ask });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.REFUSED);
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.REFUSED);
    server.answer("1", {});
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.OK);
    expect(server.received.length).toBe(1);
    expect([...at.node.businesses()][0]?.counters.duplicates).toBe(1);
  });

  test("is another uplink once the first was answered", async () => {
    const server = serve(at, "chat", {});
    const { client } = await at.login();
    for (let i = 0; i < 2; i += 1) {
      client.send({ uplink: ask });
      expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.OK);
    }
    expect(server.received.length).toBe(2);
  });
});
