/** What somebody sees who starts the gateway and opens its page. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect, type Message } from "../../sdk/index.ts";
import { tcp } from "../../sdk/node-tcp.ts";
import { browserPath, launchBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { call, type GatewayProcess, ready, startGateway } from "../support/gateway.ts";

let gateway: GatewayProcess;
let control: string;
let push: string;

beforeAll(async () => {
  gateway = await startGateway("all", {}, ["--demo"]);
  control = await gateway.address("control", "http");
  push = await gateway.address("push", "http");
  await ready(control);
}, 120_000);

afterAll(() => gateway?.[Symbol.asyncDispose]());

describe.skipIf(browserPath === undefined)("the demo page of a running gateway", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(() => browser?.close());

  async function openTab(user: string): Promise<Page> {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(20_000);
    await page.addInitScript((name) => sessionStorage.setItem("holdfast.user", name), user);
    await page.goto(control);
    await page.locator('#status[data-state="online"]').waitFor();
    return page;
  }

  test("two tabs appear as devices, chat in a room, and one pushes to the other", async () => {
    const alice = await openTab("Alice");
    const bob = await openTab("Bob");
    await alice.locator(".device", { hasText: "Bob" }).waitFor();
    await bob.locator(".device", { hasText: "Alice" }).waitFor();

    await alice.getByLabel("Message", { exact: true }).fill("hello Bob");
    await alice.getByRole("button", { name: "Send" }).click();
    await bob.locator(".message", { hasText: "hello Bob" }).waitFor();

    await alice.locator(".device", { hasText: "Bob" }).click();
    await alice.getByRole("button", { name: "Push", exact: true }).click();
    await alice.locator("#result", { hasText: "SENT" }).waitFor();
    await bob.getByRole("tab", { name: "Direct 1" }).waitFor();

    await bob.close();
    await alice.locator(".device", { hasText: "Bob" }).waitFor({ state: "detached" });
  });
});

describe("the SDK on a running gateway", () => {
  test.each(["WebSocket", "TCP"])(
    "a device over %s is pushed to, chats and logs out",
    async (how) => {
      const device = `sdk-${how}`;
      const client = connect({
        admit: control,
        app: "demo",
        device,
        user: "carol",
        ...(how === "TCP" && { transports: [tcp] }),
      });
      const messages: Message[] = [];
      client.on("message", (message) => void messages.push(message));
      const room = await client.join(`room of ${how}`);

      await call(push, "holdfast.push.v1.PushService/PushToDevices", {
        app: "demo",
        devices: [device],
        message: { business: "orders", text: "shipped" },
      });
      await eventually("the push", () => messages.some(({ text }) => text === "shipped"));

      const reply = await client
        .business("chat")
        .request({ text: "hi", metadata: { room: room.name } });
      expect(reply.text).toBe(`sent to ${room.name}`);
      await eventually("the line", () => messages.some(({ text }) => text === "hi"));
      expect(messages.find(({ text }) => text === "hi")).toMatchObject({
        business: "chat",
        room: room.name,
        metadata: { from: device, user: "carol" },
      });

      await client.close();
      await eventually("offline", async () => {
        const { devices } = await call<{ devices: { online?: boolean; offlineReason?: string }[] }>(
          push,
          "holdfast.directory.v1.DirectoryService/GetDevices",
          { app: "demo", devices: [device] },
        );
        return devices[0]?.online !== true && devices[0]?.offlineReason === "logout";
      });
    },
  );
});
