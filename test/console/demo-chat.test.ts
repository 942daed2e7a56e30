import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeEach, expect, test } from "vitest";
import { answerChatLine } from "../../console/demo-chat.ts";
import type { DemoClients } from "../../console/demo-clients.ts";
import {
  HandleUplinkRequestSchema,
  HandleUplinkResponseSchema,
} from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import { PushToRoomsResponseSchema } from "../../proto/gen/holdfast/push/v1/push_pb.ts";

let pushed: unknown[];
let failure: Error | undefined;

const unused = () => Promise.reject(new Error("the chat pushes to rooms only"));
const push: DemoClients["push"] = {
  pushToDevices: unused,
  pushToUsers: unused,
  broadcast: unused,
  async pushToRooms(request) {
    if (failure !== undefined) throw failure;
    pushed.push(request);
    return create(PushToRoomsResponseSchema);
  },
};

beforeEach(() => {
  pushed = [];
  failure = undefined;
});

async function say(text: string, metadata: Record<string, string>) {
  const uplink = create(HandleUplinkRequestSchema, {
    app: "demo",
    device: "tab-1",
    user: "Amber Ibis",
    payload: { case: "text", value: text },
    metadata,
  });
  const answer = await answerChatLine(toBinary(HandleUplinkRequestSchema, uplink), push);
  return fromBinary(HandleUplinkResponseSchema, answer);
}

test("a line goes to everybody in its room, with who said it as the gateway knows them", async () => {
  const answer = await say(" hello ", { room: "lobby", from: "somebody else" });
  expect(answer).toMatchObject({ refused: "", payload: { value: "sent to lobby" } });
  expect(pushed).toEqual([
    {
      app: "demo",
      rooms: ["lobby"],
      message: {
        business: "chat",
        payload: { case: "text", value: "hello" },
        metadata: { from: "tab-1", user: "Amber Ibis" },
      },
    },
  ]);
});

test.each([
  ["hello", {}, "metadata.room: must name a room"],
  ["   ", { room: "lobby" }, "text: must not be empty"],
  ["x".repeat(2_001), { room: "lobby" }, "text: must be at most 2000 characters"],
])("a line that cannot be sent is refused, saying why", async (text, metadata, why) => {
  expect(await say(text, metadata)).toMatchObject({ refused: why });
  expect(pushed).toEqual([]);
});

test("when the push API fails, the line is refused with its words", async () => {
  failure = new Error("push is away");
  expect(await say("hello", { room: "lobby" })).toMatchObject({ refused: "push is away" });
});
