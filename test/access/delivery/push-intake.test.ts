import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../../internal/status/close.ts";
import {
  DeliverAnswerSchema,
  DeliverSchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodePushSubject, type PushLane } from "../../../streams/subjects.ts";
import { eventually } from "../../support/eventually.ts";
import { pushFrame } from "../fakes.ts";
import { startNode, type TestNode } from "../node.ts";
import { kick } from "../orders.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});

afterEach(() => at[Symbol.asyncDispose]());

/** Pushes to connections of the node, and gives those that it says it does not have. */
async function push(
  connections: bigint[],
  { text = "hello", incarnation = "test-1", lane = "lo" as PushLane } = {},
): Promise<bigint[]> {
  const deliver = create(DeliverSchema, { connections, frame: pushFrame(text) });
  const messages = lane === "hi" ? at.urgent : at.messages;
  const subject = nodePushSubject(incarnation, lane);
  const answer = await messages.request(subject, toBinary(DeliverSchema, deliver), 1_000);
  return fromBinary(DeliverAnswerSchema, answer).missing;
}

describe("a push to connections", () => {
  test("reaches each one named, in its encoding, and is answered", async () => {
    const logins = [
      await at.login({ device: "d1" }, { encoding: "json" }),
      await at.login({ device: "d2" }, { encoding: "proto" }),
      await at.login({ device: "d3" }, { protocol: "tcp" }),
    ];
    expect(await push(logins.map(({ counter }) => counter))).toEqual([]);
    for (const { client } of logins) {
      expect((await client.next("push")).message?.payload.value).toBe("hello");
    }
  });

  test("is answered with those the node does not have", async () => {
    const { client, counter } = await at.login();
    const waiting = await at.connect();
    expect(await push([77n, counter, counter + 1n])).toEqual([77n, counter + 1n]);
    await client.next("push");
    await client.close();
    await eventually("it is gone", () => at.node.connections === 0);
    expect(await push([counter])).toEqual([counter]);
    expect(waiting.queue).toEqual([]);
  });

  test("of high priority comes on a connection of its own", async () => {
    const { client, counter } = await at.login();
    expect(await push([counter], { lane: "hi" })).toEqual([]);
    await client.next("push");
  });

  test("that cannot be read is not answered, and harms nobody", async () => {
    const { client, counter } = await at.login();
    const subject = nodePushSubject("test-1", "lo");
    await expect(at.messages.request(subject, Buffer.of(0x0f), 50)).rejects.toThrow("no answer");
    expect(await push([counter])).toEqual([]);
    await client.next("push");
  });
});

describe("a new incarnation of the node", () => {
  test("gives every connection a new id, and is reached under it alone", async () => {
    const { client, counter } = await at.login();
    at.log.incarnation = "test-2";
    at.log.events.incarnationChanged("test-2");
    expect(await client.next("welcome")).toMatchObject({
      connectionId: `test-2.${counter}`,
      node: "test-2",
      resumed: true,
    });
    expect(await push([counter], { incarnation: "test-2" })).toEqual([]);
    await client.next("push");
    await expect(push([counter])).rejects.toThrow("nobody listens");
  });
});

describe("an order", () => {
  test("kicks a connection with the code and reason it names", async () => {
    const { client, counter } = await at.login();
    at.log.events.order(kick(counter, CLOSE.replaced.code));
    const close = await client.next("close");
    expect(close).toMatchObject({ code: CLOSE.replaced.code, reason: CLOSE.replaced.text });
    expect(at.log.ends("d1")).toEqual(["replaced"]);
  });

  test("kicks with a code of nobody's as kicked, and tells the reason", async () => {
    const { client, counter } = await at.login();
    at.log.events.order(kick(counter, 1, "spam"));
    const close = await client.next("close");
    expect(close.code).toBe(CLOSE.kicked.code);
    expect(close.reason).toContain("spam");
  });

  test("about a connection that is gone does nothing", () => {
    at.log.events.order(kick(77n, CLOSE.kicked.code));
  });

  test("is not needed to leave a node that is alone: it sends everybody elsewhere", async () => {
    const { client } = await at.login();
    at.log.events.isolated();
    const close = await client.next("close");
    expect(close.code).toBe(CLOSE.isolated.code);
    expect(close.reconnect).toBeDefined();
  });
});
