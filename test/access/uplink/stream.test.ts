import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HoldfastError } from "../../../internal/status/errors.ts";
import { HandleUplinkRequestSchema } from "../../../proto/gen/holdfast/business/v1/business_pb.ts";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { uplinkSubject } from "../../../streams/subjects.ts";
import { eventually } from "../../support/eventually.ts";
import { tokenOf } from "../fakes.ts";
import { startNode, type TestNode } from "../node.ts";
import { register, text } from "./businesses.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
  await register(at, "chat", { mode: "stream" });
});
afterEach(() => at[Symbol.asyncDispose]());

describe("an uplink to a business that reads the stream", () => {
  test("is stored with everything the business needs, and acknowledged", async () => {
    await register(at, "chat.eu", { mode: "stream" });
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

  test("keeps its bytes as they are, whatever they mean", async () => {
    const { client } = await at.login({}, { encoding: "proto" });
    const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    client.send({
      uplink: { business: "chat", requestId: "1", payload: { case: "data", value } },
    });
    await client.next("uplinkAck");
    const [appended] = at.appender.appended;
    const { payload } = fromBinary(HandleUplinkRequestSchema, appended?.payload ?? Buffer.of());
    expect(Buffer.from(payload.value ?? "")).toEqual(Buffer.from(value));
  });

  test("is acknowledged only when it is stored, and a reply says no more than that", async () => {
    at.appender.holding = true;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1", wantReply: true } });
    await eventually("appended", () => at.appender.appended.length === 1);
    client.send({ ping: { foreground: true } });
    await client.next("pong");
    expect(client.queue).toEqual([]);
    at.appender.storeAll();
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    expect(await client.next("uplinkReply")).toMatchObject({
      status: UplinkStatus.OK,
      payload: { case: undefined },
    });
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

  test("times out when the stream does not take it", async () => {
    await register(at, "chat", { mode: "stream", timeoutMs: 100 });
    at.appender.holding = true;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.TIMEOUT);
  });
});

describe("turned away at once, with a time to try again, is an uplink", () => {
  test("while too many wait for the log", async () => {
    at.appender.ready = false;
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    const ack = await client.next("uplinkAck");
    expect(ack.status).toBe(UplinkStatus.BUSY);
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    expect(at.appender.appended).toEqual([]);
  });

  test("while too many of the business wait, but not one to another business", async () => {
    await register(at, "flooded", { mode: "stream", concurrency: 2, queue: 1 });
    at.appender.holding = true;
    const { client } = await at.login();
    for (const requestId of ["1", "2", "3", "4"]) {
      client.send({ uplink: { business: "flooded", requestId } });
    }
    expect(await client.next("uplinkAck")).toMatchObject({
      requestId: "4",
      status: UplinkStatus.BUSY,
    });
    client.send({ uplink: { business: "chat", requestId: "5" } });
    await eventually("the other is stored", () => at.appender.appended.length === 4);
  });

  test("when the stream is full, and nothing that is in it is lost for it", async () => {
    at.appender.refusing = new HoldfastError("unavailable", "maximum bytes exceeded");
    const { client } = await at.login();
    client.send({ uplink: { business: "chat", requestId: "1" } });
    const ack = await client.next("uplinkAck");
    expect(ack.status).toBe(UplinkStatus.BUSY);
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    at.appender.refusing = undefined;
    client.send({ uplink: { business: "chat", requestId: "1", retransmit: true } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
  });

  test("while a business has as much waiting as it may, but not one to another business", async () => {
    await register(at, "flooded", { mode: "stream", maxStoredBytes: 50_000 });
    const { client } = await at.login();
    const send = async (business: string) => {
      client.send({ uplink: { business, requestId: `${Math.random()}` } });
      return (await client.next("uplinkAck")).status;
    };
    const stored = (count: number) => {
      const flooded = uplinkSubject("shop", "flooded");
      const subjects = new Map([
        [flooded, count],
        [uplinkSubject("shop", "chat"), 1_000],
      ]);
      at.streams.say("HF_UPLINK", { maxBytes: 1_000_000, subjects });
    };
    at.streams.size = 100;
    stored(1_000);
    await eventually("it is full", async () => (await send("flooded")) === UplinkStatus.BUSY);
    // A quarter of the stream, for want of a limit of its own.
    expect(await send("chat")).toBe(UplinkStatus.OK);
    const before = at.streams.asked;
    await eventually("it is asked again", async () => {
      expect(await send("chat")).toBe(UplinkStatus.OK);
      return at.streams.asked > before;
    });
    stored(100);
    await eventually("it has read", async () => (await send("flooded")) === UplinkStatus.OK);
  });

  test("while too many of the connection to this business are unanswered", async () => {
    at.appender.holding = true;
    const { client } = await at.login();
    for (let i = 0; i <= 32; i += 1) {
      client.send({ uplink: { business: "chat", requestId: `${i}` } });
    }
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
    const [chat] = at.node.businesses();
    expect(chat?.counters).toMatchObject({ uplinks: 34, ok: 33, busy: 1 });
  });

  test("of a connection that sends faster than the business allows", async () => {
    await register(at, "slow", { mode: "stream", ratePerConnection: 1 });
    const { client } = await at.login();
    client.send({ uplink: { business: "slow", requestId: "1" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    client.send({ uplink: { business: "slow", requestId: "2" } });
    const ack = await client.next("uplinkAck");
    expect(ack.status).toBe(UplinkStatus.BUSY);
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    const { client: another } = await at.login({ device: "d2" });
    another.send({ uplink: { business: "slow", requestId: "1" } });
    expect((await another.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    const slow = [...at.node.businesses()].find(({ business }) => business === "slow");
    expect(slow?.counters).toMatchObject({ tooFast: 1, busy: 1 });
  });
});

describe("refused is an uplink", () => {
  test("to a business that is not registered, or not any more", async () => {
    const { client } = await at.login();
    client.send({ uplink: { business: "nobody", requestId: "1", wantReply: true } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.UNKNOWN_BUSINESS);
    expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNKNOWN_BUSINESS);
    client.send({ uplink: { business: "chat", requestId: "2" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    await register(at, "chat");
    client.send({ uplink: { business: "chat", requestId: "3" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.UNKNOWN_BUSINESS);
    expect(at.metrics.uplinksUnknown).toBe(2);
  });

  test("to a business of another app", async () => {
    const { client } = await at.login({ app: "bank" });
    client.send({ uplink: { business: "chat", requestId: "1" } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.UNKNOWN_BUSINESS);
  });

  test("longer than the business takes, and not stored", async () => {
    await register(at, "short", { mode: "stream", maxPayloadBytes: 4 });
    const { client } = await at.login();
    client.send({ uplink: { business: "short", requestId: "1", payload: text("1234") } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.OK);
    client.send({ uplink: { business: "short", requestId: "2", payload: text("123é") } });
    expect((await client.next("uplinkAck")).status).toBe(UplinkStatus.TOO_LARGE);
    expect(at.appender.appended.length).toBe(1);
  });
});
