import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { admittance, Outbox } from "../../../internal/access/session/outbox.ts";
import { Priority } from "../../../internal/access/session/priority.ts";
import { CLOSE } from "../../../internal/status/close.ts";
import { SharedFrame } from "../../../internal/wire/shared-frame.ts";
import { DeliverSchema } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { LeftSchema, Message_Priority } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { nodePushSubject } from "../../../streams/subjects.ts";
import { eventually } from "../../support/eventually.ts";
import { pushFrame } from "../fakes.ts";
import { type LoggedIn, startNode, type TestNode } from "../node.ts";

describe("an outbox", () => {
  const frame = (room: string) =>
    SharedFrame.of({ case: "left", value: create(LeftSchema, { room }) });
  const size = { sizeOf: (one: SharedFrame) => one.binary.length };

  test("gives the higher priority first, and the same priority in order", () => {
    const outbox = new Outbox();
    const frames = [
      ["low", Priority.LOW],
      ["normal 1", Priority.NORMAL],
      ["high", Priority.HIGH],
      ["normal 2", Priority.NORMAL],
      ["control", Priority.CONTROL],
    ] as const;
    const made = frames.map(([room, priority]) => ({ made: frame(room), room, priority }));
    for (const one of made) outbox.push(one.made, one.priority, size.sizeOf(one.made));
    expect(outbox.bytes).toBe(made.reduce((sum, one) => sum + size.sizeOf(one.made), 0));
    const given = made.map(() => outbox.shift(size));
    expect(given.map((one) => made.find((m) => m.made === one)?.room)).toEqual([
      "control",
      "high",
      "normal 1",
      "normal 2",
      "low",
    ]);
    expect(outbox.shift(size)).toBeUndefined();
    expect(outbox.bytes).toBe(0);
  });

  test("lets go of what was taken, not only when it is empty", () => {
    const outbox = new Outbox();
    const frames = Array.from({ length: 100 }, (_, i) => frame(`${i}`));
    for (const one of frames) outbox.push(one, Priority.NORMAL, size.sizeOf(one));
    for (let i = 0; i < 90; i += 1) expect(outbox.shift(size)).toBe(frames[i]);
    expect(outbox.held).toBeLessThanOrEqual(20);
  });

  const limits = { softLimitBytes: 100, hardLimitBytes: 1_000 };
  test.each([
    ["keeps what is within the soft limit", 50, 50, Priority.LOW, "keep"],
    ["drops low priority beyond it", 51, 50, Priority.LOW, "drop"],
    ["keeps the others beyond it", 51, 50, Priority.NORMAL, "keep"],
    ["overflows beyond the hard limit", 951, 50, Priority.HIGH, "overflow"],
    ["overflows for the protocol's own frames too", 951, 50, Priority.CONTROL, "overflow"],
    ["never overflows with low priority", 5_000, 50, Priority.LOW, "drop"],
  ] as const)("%s", (_, waiting, bytes, priority, expected) => {
    expect(admittance(waiting, bytes, priority, limits)).toBe(expected);
  });
});

describe.each([
  ["WebSocket", { encoding: "json" }],
  ["TCP", { protocol: "tcp" }],
] as const)("a client over %s that does not read", (_, kind) => {
  let at: TestNode;
  let slow: LoggedIn;
  let quick: LoggedIn;

  beforeEach(async () => {
    at = await startNode();
    slow = await at.login({ device: "slow" }, kind);
    quick = await at.login({ device: "quick" }, kind);
    slow.client.pause();
  });

  afterEach(() => at[Symbol.asyncDispose]());

  const large = "x".repeat(100_000);

  async function push(text: string, priority: Message_Priority): Promise<void> {
    const connections = [slow.counter, quick.counter];
    const frame = pushFrame(text, { priority });
    const deliver = create(DeliverSchema, { connections, frame, priority });
    const subject = nodePushSubject(at.log.incarnation, "lo");
    await at.messages.request(subject, toBinary(DeliverSchema, deliver), 5_000);
  }

  /** Pushes until the condition holds. The quick client reads along, so nothing waits for it. */
  async function pushUntil(holds: () => boolean, priority: Message_Priority): Promise<void> {
    for (let sent = 0; !holds(); sent += 1) {
      if (sent === 1_000) throw new Error("100 MB were not enough");
      await push(large, priority);
      await quick.client.next("push");
    }
  }

  test("is closed as a slow consumer at the hard limit, and the others are not", async () => {
    await pushUntil(() => at.log.ends("slow").length > 0, Message_Priority.NORMAL);
    expect(at.log.ends("slow")).toEqual(["slow-consumer"]);
    expect(at.log.ends("quick")).toEqual([]);
    slow.client.resume();
    expect((await slow.client.next("close")).code).toBe(CLOSE["slow-consumer"].code);
    await slow.client.ended;
  });

  test("loses messages of low priority and nothing else, and is not closed for them", async () => {
    await pushUntil(() => at.metrics.dropped > 20, Message_Priority.LOW);
    await push("last", Message_Priority.NORMAL);
    await quick.client.next("push");
    expect(at.log.ends("slow")).toEqual([]);
    slow.client.resume();
    await eventually("the last one has come", async () => {
      const { message } = await slow.client.next("push");
      return message?.payload.value === "last";
    });
  });

  test("gets what is urgent before what waits, once it reads again", async () => {
    await pushUntil(() => at.metrics.dropped > 0, Message_Priority.LOW);
    for (const [text, priority] of [
      ["normal", Message_Priority.NORMAL],
      ["high", Message_Priority.HIGH],
    ] as const) {
      await push(text, priority);
      await quick.client.next("push");
    }
    slow.client.resume();
    const texts: unknown[] = [];
    while (texts.length < 2) {
      const { message } = await slow.client.next("push");
      const text = message?.payload.value;
      if (text === "normal" || text === "high") texts.push(text);
    }
    expect(texts).toEqual(["high", "normal"]);
  });
});
