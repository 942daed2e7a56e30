import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { rpcSubject, TAKEN_HEADER } from "../../../streams/subjects.ts";
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

describe("an uplink to a business that answers over NATS", () => {
  test("is answered by the business, with an acknowledgement before", async () => {
    serve(at, "chat", { payload: text("pong") });
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect(await client.next("uplinkReply")).toMatchObject({
      requestId: "1",
      status: UplinkStatus.OK,
      payload: text("pong"),
    });
    expect(client.queue.map((frame) => frame.case)).toEqual(["uplinkAck"]);
    expect(at.appender.appended).toEqual([]);
  });

  test("is only acknowledged to a client that wants no reply", async () => {
    serve(at, "chat", { payload: text("pong") });
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    client.send({ ping: {} });
    await client.next("pong");
    expect(client.queue).toEqual([]);
  });

  test("is acknowledged when the business says that it has it, and answered later", async () => {
    const inboxes: string[] = [];
    const subject = rpcSubject("shop", "chat");
    at.messages.subscribe(subject, () => {});
    const publish = at.messages.publish.bind(at.messages);
    at.messages.publish = (to, payload, replyTo, headers) => {
      if (to === subject && replyTo !== undefined) inboxes.push(replyTo);
      publish(to, payload, replyTo, headers);
    };
    const { client } = await at.login();
    client.send({ uplink: ask });
    await eventually("it was asked", () => inboxes.length === 1);
    const [inbox = ""] = inboxes;
    publish(inbox, new Uint8Array(), undefined, { [TAKEN_HEADER]: "1" });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    publish(inbox, new Uint8Array());
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.OK);
    expect(client.queue).toEqual([]);
    publish(inbox, new Uint8Array());
    await eventually("a second answer counts as late", () => at.metrics.uplinkAnswersLate === 1);
  });

  test("is refused by the business, and told why", async () => {
    serve(at, "chat", { refused: "no such order" });
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.REFUSED);
    expect(await client.next("uplinkReply")).toMatchObject({
      status: UplinkStatus.REFUSED,
      payload: text("no such order"),
    });
  });

  test("is answered at once when no server of the business is there", async () => {
    const { client } = await at.login();
    client.send({ uplink: ask });
    const ack = await client.next("uplinkAck");
    expect(ack.status).toBe(UplinkStatus.UNAVAILABLE);
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
  });

  test("times out when the business does not answer, and what comes later is dropped", async () => {
    await register(at, "chat", { timeoutMs: 100 });
    const server = serve(at, "chat");
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.TIMEOUT);
    await eventually("the node gave up waiting", () => {
      client.send({ ping: {} });
      return client.next("pong");
    });
    server.answer("1", { payload: text("too late") });
    await eventually("it was counted", () => at.metrics.uplinkAnswersLate === 1);
    expect(client.queue.filter((frame) => frame.case === "uplinkReply")).toEqual([]);
  });

  test("is unavailable when the answer makes no sense, which is counted", async () => {
    at.messages.subscribe(rpcSubject("shop", "chat"), (message) => message.respond(Buffer.of(7)));
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
    expect([...at.node.businesses()][0]?.counters.badAnswers).toBe(1);
  });

  test("is told that the reply was too long, and that the business has it", async () => {
    await register(at, "chat", { maxReplyBytes: 4 });
    serve(at, "chat", { payload: text("12345") });
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    expect(await client.next("uplinkReply")).toMatchObject({
      status: UplinkStatus.TOO_LARGE,
      payload: { case: undefined },
    });
    expect([...at.node.businesses()][0]?.counters.repliesTooLarge).toBe(1);
  });
});

describe("replies", () => {
  test("come as they are made", async () => {
    const server = serve(at, "chat");
    const { client } = await at.login();
    for (const requestId of ["1", "2"]) client.send({ uplink: { ...ask, requestId } });
    await eventually("both are there", () => server.received.length === 2);
    server.answer("2", {});
    expect((await client.next("uplinkReply")).requestId).toBe("2");
    server.answer("1", {});
    expect((await client.next("uplinkReply")).requestId).toBe("1");
  });

  test("of an ordered business come in the order of the requests, of each connection", async () => {
    await register(at, "chat", { ordered: true });
    const server = serve(at, "chat");
    const { client } = await at.login();
    const { client: other } = await at.login({ device: "d2" });
    for (const requestId of ["1", "2", "3"]) client.send({ uplink: { ...ask, requestId } });
    other.send({ uplink: { ...ask, requestId: "4" } });
    await eventually("all are there", () => server.received.length === 4);
    for (const requestId of ["4", "3", "2", "1"]) server.answer(requestId, {});
    expect((await other.next("uplinkReply")).requestId).toBe("4");
    for (const requestId of ["1", "2", "3"]) {
      expect((await client.next("uplinkReply")).requestId).toBe(requestId);
    }
  });

  test("of an ordered business wait for an earlier one no longer than its timeout", async () => {
    await register(at, "chat", { ordered: true, timeoutMs: 300 });
    const server = serve(at, "chat");
    const { client } = await at.login();
    for (const requestId of ["1", "2"]) client.send({ uplink: { ...ask, requestId } });
    await eventually("both are there", () => server.received.length === 2);
    server.answer("2", { payload: text("two") });
    expect(await client.next("uplinkReply")).toMatchObject({
      requestId: "1",
      status: UplinkStatus.TIMEOUT,
    });
    expect(await client.next("uplinkReply")).toMatchObject({
      requestId: "2",
      payload: text("two"),
    });
  });
});
