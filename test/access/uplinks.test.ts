import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  HandleUplinkRequestSchema,
  HandleUplinkResponseSchema,
} from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { rpcSubject, uplinkSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { tokenOf } from "./fakes.ts";
import { startNode, type TestNode } from "./node.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});

afterEach(() => at[Symbol.asyncDispose]());

const text = (value: string) => ({ case: "text", value }) as const;

/** A business server that answers on NATS. */
function business(answer: MessageInitShape<typeof HandleUplinkResponseSchema>): void {
  at.messages.subscribe(
    rpcSubject("shop", "chat"),
    (message) => {
      const response = create(HandleUplinkResponseSchema, answer);
      message.respond(toBinary(HandleUplinkResponseSchema, response));
    },
    { queue: "chat" },
  );
}

describe("an uplink", () => {
  test("goes into the stream with everything the business needs, and is acknowledged", async () => {
    const client = await at.connect();
    client.send({
      login: { token: tokenOf({ device: "d1", user: "ann" }), client: { platform: "ios" } },
    });
    await client.next("welcome");
    client.send({
      uplink: {
        business: "chat.eu",
        requestId: "r 1",
        payload: text("hello"),
        metadata: { k: "v" },
        retransmit: true,
      },
    });
    expect(await client.next("uplinkAck")).toMatchObject({
      requestId: "r 1",
      status: UplinkStatus.OK,
    });
    const [appended] = at.appender.appended;
    expect(appended?.subject).toBe(uplinkSubject("shop", "chat.eu"));
    const request = fromBinary(HandleUplinkRequestSchema, appended?.payload ?? Buffer.of());
    expect(request).toMatchObject({
      app: "shop",
      business: "chat.eu",
      device: "d1",
      user: "ann",
      connectionId: "test-1.1",
      node: "test-1",
      client: { platform: "ios" },
      address: "127.0.0.1",
      requestId: "r 1",
      payload: text("hello"),
      metadata: { k: "v" },
      retransmit: true,
    });
    expect(Math.abs(Number(request.receivedAtMs) - Date.now())).toBeLessThan(60_000);
  });

  test("is acknowledged only when it is stored", async () => {
    at.appender.holding = true;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    await eventually("appended", () => at.appender.appended.length === 1);
    client.send({ ping: { foreground: true } });
    await client.next("pong");
    expect(client.queue).toEqual([]);
    at.appender.storeAll();
    await client.next("uplinkAck");
  });

  test("of a connection that ended meanwhile is stored, and answered to nobody", async () => {
    at.appender.holding = true;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    await eventually("appended", () => at.appender.appended.length === 1);
    await client.close();
    await eventually("it is gone", () => at.metrics.connections === 0);
    at.appender.storeAll();
    expect(at.metrics.faults).toBe(0);
  });

  test("is turned away while too many wait for the log, with a time to try again", async () => {
    at.appender.ready = false;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    const ack = await client.next("uplinkAck");
    expect(ack.status).toBe(UplinkStatus.BUSY);
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    expect(at.appender.appended).toEqual([]);
  });

  test("is turned away while too many of the connection are unanswered", async () => {
    at.appender.holding = true;
    const { client } = await at.login();
    for (let i = 0; i <= 32; i += 1)
      client.send({ uplink: { business: "chat", requestId: `${i}` } });
    expect(await client.next("uplinkAck")).toMatchObject({
      requestId: "32",
      status: UplinkStatus.BUSY,
    });
    at.appender.holding = false;
    at.appender.storeAll();
    for (let i = 0; i < 32; i += 1) {
      expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    }
    client.send({ uplink: { business: "chat", requestId: "again" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    expect(at.metrics).toMatchObject({ uplinks: 34, uplinksBusy: 1 });
  });
});

describe("an uplink that wants a reply", () => {
  const ask = { business: "chat", requestId: "1", wantReply: true };

  test("is answered by the business, with an acknowledgement before", async () => {
    business({ payload: text("pong") });
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

  test("is refused by the business, and told why", async () => {
    business({ refused: "no such order" });
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
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.UNAVAILABLE);
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
  });

  test("is answered when the business does not answer in time", async () => {
    at.messages.subscribe(rpcSubject("shop", "chat"), () => {});
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.TIMEOUT);
  });

  test("is unavailable when the business answers with something else", async () => {
    at.messages.subscribe(rpcSubject("shop", "chat"), (message) => message.respond(Buffer.of(7)));
    const { client } = await at.login();
    client.send({ uplink: ask });
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
  });
});
