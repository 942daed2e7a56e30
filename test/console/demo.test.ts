import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createDemo, type Demo } from "../../console/demo.ts";
import {
  HandleUplinkRequestSchema,
  HandleUplinkResponseSchema,
} from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import { PushService } from "../../proto/gen/holdfast/push/v1/push_pb.ts";

let authorizations: (string | null)[];
let server: ReturnType<typeof createServer>;
let demo: Demo;

beforeEach(async () => {
  authorizations = [];
  const routes = connectNodeAdapter({
    routes: (router) =>
      router.service(PushService, {
        pushToRooms({ rooms }, { requestHeader }) {
          authorizations.push(requestHeader.get("authorization"));
          return { messageId: "m1", results: rooms.map((target) => ({ target })) };
        },
      }),
  });
  server = createServer(routes);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const pushUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  demo = createDemo({ app: "demo", key: "secret-key", pushUrl });
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

test("the chat pushes with the app's key, which it tells nobody", async () => {
  const uplink = create(HandleUplinkRequestSchema, {
    app: "demo",
    business: demo.business,
    payload: { case: "text", value: "hi" },
    metadata: { room: "lobby" },
  });
  const answer = await demo.answerUplink(toBinary(HandleUplinkRequestSchema, uplink));
  expect(fromBinary(HandleUplinkResponseSchema, answer).refused).toBe("");
  expect(authorizations).toEqual(["Bearer secret-key"]);
  expect(Buffer.from(answer).toString()).not.toContain("secret-key");
});

test("bytes that are no uplink are refused", async () => {
  const answer = await demo.answerUplink(Uint8Array.of(255));
  expect(fromBinary(HandleUplinkResponseSchema, answer).refused).not.toBe("");
});
