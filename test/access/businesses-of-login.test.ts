import { afterEach, beforeEach, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { tokenOf } from "./fakes.ts";
import { startNode, type TestNode } from "./node.ts";

let at: TestNode;

beforeEach(async () => {
  at = await startNode();
});
afterEach(() => at[Symbol.asyncDispose]());

const token = tokenOf({ device: "phone" });

test("the log is told which businesses a device uses, each once", async () => {
  const client = await at.connect();
  client.send({ login: { token, businesses: ["chat", "news", "chat"] } });
  await client.next("welcome");
  expect(at.log.entries).toMatchObject([{ kind: "opened", businesses: ["chat", "news"] }]);
});

test.each([
  ["too many businesses", Array.from({ length: 17 }, (_, i) => `b${i}`), /login.businesses must/],
  ["a business without a name", [""], /login.businesses must not be empty/],
  ["a business with a line break", ["a\nb"], /control characters/],
])("a login with %s is a bad frame", async (_, businesses, why) => {
  const client = await at.connect();
  client.send({ login: { token, businesses } });
  const close = await client.next("close");
  expect(close.code).toBe(CLOSE["bad-frame"].code);
  expect(close.reason).toMatch(why);
});
