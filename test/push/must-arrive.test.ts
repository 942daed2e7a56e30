import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { outgoing } from "../../internal/push/message.ts";
import { MustArrive } from "../../internal/push/must-arrive.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import {
  MessageDelivery_StateSchema,
  MessageDelivery_State as State,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { Delivery, MessageSchema, StatusSchema } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { DUPLICATE_WINDOW_MS } from "../../streams/layout.ts";
import type { ReceiptStep } from "../../streams/records.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { APP, FakeLogAppender, FakeReceipts, type MemoryGround } from "./fake-cluster.ts";
import { type Served, serve } from "./served.ts";

let at: Served;
let ground: MemoryGround;

beforeEach(async () => {
  at = await serve();
  ground = at.cluster.ground;
});

afterEach(() => at[Symbol.asyncDispose]());

const MUST_ARRIVE = { delivery: Delivery.MUST_ARRIVE };
const message = (messageId = "") => ({
  messageId,
  business: "chat",
  payload: { case: "text" as const, value: "hi" },
});

/** Of a value of an enum. */
function nameOf(
  schema: { value: Record<number, { name: string }> },
  value: number,
): string | undefined {
  return schema.value[value]?.name;
}

async function push(devices: string[], messageId = "m1", options: { ttlSeconds?: number } = {}) {
  const response = await at.client.pushToDevices({
    app: APP,
    devices,
    message: message(messageId),
    options: { ...MUST_ARRIVE, ...options },
  });
  return response.results.map(({ target, status, reason }) => [
    target,
    nameOf(StatusSchema, status),
    reason,
  ]);
}

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => Promise.reject(new Error("it did not fail")),
    (error) => ConnectError.from(error),
  );
}

describe("a message that must arrive", () => {
  test("is accepted for each device, known or not, when the log has it", async () => {
    expect(await push(["d1", "d2"])).toEqual([
      ["d1", "ACCEPTED", ""],
      ["d2", "ACCEPTED", ""],
    ]);
    const [first] = ground.logAppender.accepted;
    expect(first?.record).toMatchObject({ app: APP, device: "d1", messageId: "m1", user: "" });
  });

  test("is kept a day, or as long as the call says", async () => {
    await push(["d1"], "m1");
    await push(["d1"], "m2", { ttlSeconds: 7 * 24 * 3600 });
    const [day, week] = ground.logAppender.accepted.map(({ record }) => Number(record.expiresAtMs));
    const hours = ((week ?? 0) - (day ?? 0)) / 3_600_000;
    expect(Math.round(hours)).toBe(6 * 24);
  });

  test("is refused while there is no room to keep it, and accepted again when there is", async () => {
    ground.lacking = "the log is full";
    expect(await push(["d1"])).toEqual([
      ["d1", "REFUSED", "unavailable: there is no room for more, the log is full"],
    ]);
    expect(ground.logAppender.accepted).toEqual([]);
    ground.lacking = undefined;
    expect(await push(["d1"])).toEqual([["d1", "ACCEPTED", ""]]);
  });

  test("is a duplicate under an id that was accepted for the device before", async () => {
    await push(["d1"]);
    expect(await push(["d1", "d2"])).toEqual([
      ["d1", "DUPLICATE", ""],
      ["d2", "ACCEPTED", ""],
    ]);
    expect(ground.logAppender.accepted).toHaveLength(2);
  });

  test("named twice in one call is accepted once", async () => {
    expect(await push(["d1", "d1"])).toEqual([
      ["d1", "ACCEPTED", ""],
      ["d1", "ACCEPTED", ""],
    ]);
    expect(ground.logAppender.accepted).toHaveLength(1);
  });

  test("is refused for a device whose mailbox is full, with the reason", async () => {
    ground.fullMailboxes.add("d1");
    const results = await push(["d1", "d2"]);
    expect(results).toEqual([
      ["d1", "REFUSED", "the device's mailbox is full"],
      ["d2", "ACCEPTED", ""],
    ]);
    const { deliveries } = await at.directory.getMessage({ app: APP, messageId: "m1" });
    expect(
      deliveries.map(({ device, state }) => [device, nameOf(MessageDelivery_StateSchema, state)]),
    ).toEqual([
      ["d1", "REFUSED"],
      ["d2", "ACCEPTED"],
    ]);
  });

  test("is refused when the log will not take it, or cannot now", async () => {
    ground.logAppender.refuseBecause = new HoldfastError("invalid", "too large for the broker");
    expect(await push(["d1"])).toEqual([["d1", "REFUSED", "too large for the broker"]]);
    ground.logAppender.ready = false;
    expect((await push(["d1"]))[0]?.[2]).toContain("try again");
  });

  test("is refused when the log does not confirm it in time, which says that it may be there", async () => {
    ground.logAppender.storing = false;
    const [[, status, reason] = []] = await push(["d1"]);
    expect(status).toBe("REFUSED");
    expect(reason).toContain("same message id");
  });

  test("goes to every known device of a user, and a user without one is unknown", async () => {
    const node = at.cluster.node("n-1");
    at.cluster.login("d1", node, { user: "u1" });
    at.cluster.login("d2", node, { user: "u1" });
    ground.fullMailboxes.add("d2");
    const users = ["u1", "u2"];
    const call = { app: APP, users, message: message("m1"), options: MUST_ARRIVE };
    const { results } = await at.client.pushToUsers(call);
    expect(results.map(({ status, devices }) => [nameOf(StatusSchema, status), devices])).toEqual([
      ["ACCEPTED", 1],
      ["UNKNOWN", 0],
    ]);
    expect(results[0]?.reason).toContain("full");
    expect(ground.logAppender.accepted[0]?.record.user).toBe("u1");
  });

  test("cannot be sent to rooms, zones or everyone", async () => {
    const options = MUST_ARRIVE;
    for (const call of [
      at.client.pushToRooms({ app: APP, rooms: ["r"], message: message(), options }),
      at.client.pushToZones({ app: APP, zones: ["z"], message: message(), options }),
      at.client.broadcast({ app: APP, message: message(), options }),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.message).toContain("options.delivery");
    }
  });

  test("must have a time of 1 s to 7 days, and an id of at most 128 bytes", async () => {
    for (const call of [
      push(["d1"], "m1", { ttlSeconds: 0 }),
      push(["d1"], "m1", { ttlSeconds: 604_801 }),
      push(["d1"], "m".repeat(129)),
      push(["d1"], "line\nbreak"),
    ]) {
      expect((await failure(call)).code).toBe(Code.InvalidArgument);
    }
    expect(ground.logAppender.accepted).toEqual([]);
  });
});

describe("GetMessage", () => {
  const NOW = Date.now();
  const receipt = (steps: ReceiptStep[], device = "d1", expiresAtMs = NOW + 60_000) =>
    ground.receipts.write({
      app: APP,
      device,
      messageId: "m1",
      business: "chat",
      sequence: 7,
      expiresAtMs,
      steps,
    });
  const get = async () => (await at.directory.getMessage({ app: APP, messageId: "m1" })).deliveries;
  const accepted: ReceiptStep = { step: "accepted", at: NOW };
  const mailed: ReceiptStep = { step: "mailed", at: NOW + 20 };

  test("puts together what everybody tells of a message", async () => {
    const routed: ReceiptStep = { step: "routed", at: NOW + 30, node: "n-1", attempt: 1 };
    receipt([{ step: "acked", at: NOW + 50, node: "n-1" }, routed]);
    receipt([accepted]);
    receipt([accepted, mailed]);
    const [delivery] = await get();
    expect(delivery).toMatchObject({ device: "d1", state: State.DELIVERED, deliverySequence: 7n });
    expect(delivery?.steps.map(({ step }) => step)).toEqual([
      "accepted",
      "mailed",
      "routed",
      "acked",
    ]);
  });

  test("says for each device whether it waits, was handled or has expired", async () => {
    receipt([accepted], "on its way");
    receipt([accepted, mailed], "waits");
    receipt([accepted, { step: "expired", at: NOW + 90 }], "expired");
    receipt([accepted, mailed], "expired unseen", NOW - 1);
    const states = (await get()).map(({ device, state }) => [
      device,
      nameOf(MessageDelivery_StateSchema, state),
    ]);
    expect(Object.fromEntries(states)).toEqual({
      "on its way": "ACCEPTED",
      waits: "WAITING",
      expired: "EXPIRED",
      "expired unseen": "EXPIRED",
    });
  });

  test("does not know what was never sent", async () => {
    const error = await failure(get());
    expect(error.code).toBe(Code.NotFound);
    expect(error.message).toContain("message_id");
  });
});

test("what the log has not confirmed in a while is not sent any more, before the log would take it twice", () => {
  const clock = new VirtualClock();
  const appender = new FakeLogAppender();
  appender.storing = false;
  const mustArrive = new MustArrive({
    appender,
    receipts: new FakeReceipts(),
    mailboxes: { isFull: () => false },
    headroom: { lacking: () => undefined },
    partitions: 4,
    clock,
  });
  const send = (messageId: string) => {
    const content = create(MessageSchema, { messageId, business: "chat" });
    const to = [{ device: "d1", user: "" }];
    mustArrive.accept(APP, to, outgoing(content, undefined, clock.now()), 1_000);
  };
  send("m1");
  clock.advance(1_000);
  send("m2");
  expect(new Set(appender.owners).size).toBe(1);
  expect(appender.forgotten).toEqual([]);
  clock.advance(DUPLICATE_WINDOW_MS / 2);
  send("m3");
  expect(new Set(appender.owners).size).toBe(2);
  clock.advance(DUPLICATE_WINDOW_MS / 2 - 2_000);
  expect(appender.forgotten).toEqual([appender.owners[0]]);
});
