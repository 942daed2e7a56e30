import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UplinkStatus } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { startNode, type TestNode } from "../node.ts";
import { register, serve } from "./businesses.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});
afterEach(() => at[Symbol.asyncDispose]());

const ask = (business: string, requestId: string) => ({
  uplink: { business, requestId, wantReply: true },
});

describe("a business that hangs", () => {
  test("has no more under way and waiting than it may, and the rest is told at once", async () => {
    await register(at, "stuck", { concurrency: 2, queue: 1, timeoutMs: 60_000 });
    const server = serve(at, "stuck");
    const { client } = await at.login();
    for (const requestId of ["1", "2", "3", "4"]) client.send(ask("stuck", requestId));
    const ack = await client.next("uplinkAck");
    expect(ack).toMatchObject({ requestId: "4", status: UplinkStatus.BUSY });
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    expect(server.received.map(({ requestId }) => requestId)).toEqual(["1", "2"]);
    server.answer("1", {});
    await eventually("the one that waited has its place", () => server.received.length === 3);
  });

  test("does not take what has waited past its time", async () => {
    await register(at, "stuck", { concurrency: 1, queue: 1, timeoutMs: 200 });
    const server = serve(at, "stuck");
    const { client } = await at.login();
    client.send(ask("stuck", "1"));
    client.send(ask("stuck", "2"));
    const answers = [await client.next("uplinkReply"), await client.next("uplinkReply")];
    expect(answers.map(({ requestId, status }) => [requestId, status])).toEqual([
      ["1", UplinkStatus.TIMEOUT],
      ["2", UplinkStatus.BUSY],
    ]);
    await eventually("the place is free again", async () => {
      client.send(ask("stuck", "3"));
      return server.received.some(({ requestId }) => requestId === "3");
    });
    expect(server.received.some(({ requestId }) => requestId === "2")).toBe(false);
  });

  test("does not keep the same connection from another business", async () => {
    await register(at, "stuck", { timeoutMs: 60_000 });
    await register(at, "fine", {});
    serve(at, "stuck");
    serve(at, "fine", {});
    const { client } = await at.login();
    for (let i = 0; i < 40; i += 1) client.send(ask("stuck", `${i}`));
    client.send(ask("fine", "a"));
    await eventually("the other has answered", async () => {
      const { requestId, status } = await client.next("uplinkReply");
      return requestId === "a" && status === UplinkStatus.OK;
    });
  });
});

describe("a business whose servers are gone", () => {
  test("is left alone after some tries, then tried again", async () => {
    await register(at, "gone", {});
    const { client } = await at.login();
    for (let i = 0; i < 12; i += 1) {
      client.send(ask("gone", `${i}`));
      expect((await client.next("uplinkReply")).status).toBe(UplinkStatus.UNAVAILABLE);
    }
    const server = serve(at, "gone", {});
    client.send(ask("gone", "not tried"));
    const ack = await client.next("uplinkAck");
    expect(ack).toMatchObject({ status: UplinkStatus.UNAVAILABLE });
    expect(ack.retryAfterMs).toBeGreaterThan(0);
    expect(server.received).toEqual([]);
    let tries = 0;
    await eventually("it is tried again", async () => {
      tries += 1;
      client.send(ask("gone", `again ${tries}`));
      return (await client.next("uplinkReply")).status === UplinkStatus.OK;
    });
    await eventually("all is well", async () => {
      tries += 1;
      client.send(ask("gone", `well ${tries}`));
      return (await client.next("uplinkReply")).status === UplinkStatus.OK;
    });
  });
});
