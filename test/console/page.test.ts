import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { browserPath, launchBrowser } from "../support/browser.ts";
import { eventually } from "../support/eventually.ts";
import { type FakeDemo, startFakeDemo } from "./fake-demo.ts";

describe.skipIf(browserPath === undefined)("the demo page in a browser", () => {
  let browser: Browser;
  let demo: FakeDemo;
  let problems: string[];

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(() => browser.close());

  beforeEach(async () => {
    problems = [];
    demo = await startFakeDemo();
  });

  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await demo[Symbol.asyncDispose]();
    expect(problems).toEqual([]);
  });

  /** A tab of its own, and so a device of its own. */
  async function openTab(name: string): Promise<Page> {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(10_000);
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    await page.addInitScript((user) => sessionStorage.setItem("holdfast.user", user), name);
    await page.goto(demo.url);
    await page.locator('#status[data-state="online"]').waitFor();
    return page;
  }

  async function say(page: Page, text: string): Promise<void> {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  }

  test("two tabs see each other as devices, and talk in a room", async () => {
    const alice = await openTab("Alice");
    const bob = await openTab("Bob");
    await alice.locator(".device", { hasText: "Bob" }).waitFor();
    await bob.locator(".device", { hasText: "Alice" }).waitFor();
    await say(alice, "hello <b>Bob</b>");
    // As text, never as markup.
    await bob.locator(".message .text", { hasText: "hello <b>Bob</b>" }).waitFor();
    await say(bob, "hello Alice");
    await alice.locator(".message:not(.own)", { hasText: "hello Alice" }).waitFor();
    expect(await alice.locator(".message.own").count()).toBe(1);
  });

  test("a push from the form reaches the chosen device only, and its answer is shown", async () => {
    const alice = await openTab("Alice");
    const bob = await openTab("Bob");
    await alice.locator(".device", { hasText: "Bob" }).click();
    await alice.getByLabel("Text").fill("It's shipped");
    expect(await alice.locator("#curl").textContent()).toContain(`"text": "It'\\''s shipped"`);
    await alice.getByRole("button", { name: "Push", exact: true }).click();
    await alice.locator("#result", { hasText: "SENT" }).waitFor();
    await bob.getByRole("tab", { name: "Direct 1" }).click();
    await bob.locator(".message.pushed", { hasText: "It's shipped" }).waitFor();
    expect(await alice.getByRole("tab", { name: "Direct" }).textContent()).toBe("Direct");
  });

  test("a room of its own is joined, survives a reload, and is left again", async () => {
    const page = await openTab("Alice");
    await page.getByLabel("Room to join").fill("release");
    await page.getByRole("button", { name: "Join" }).click();
    await page.getByRole("tab", { name: "# release", selected: true }).waitFor();
    await page.reload();
    await page.getByRole("tab", { name: "# release" }).click();
    await say(page, "still here");
    await page.locator(".message", { hasText: "still here" }).waitFor();
    await page.getByRole("button", { name: "Leave" }).click();
    await page.getByRole("tab", { name: "# release" }).waitFor({ state: "detached" });
  });

  test("a dropped connection comes back by itself, in its rooms", async () => {
    const page = await openTab("Alice");
    await page.locator(".frame", { hasText: "joined" }).waitFor();
    await page.getByRole("button", { name: "Drop the connection" }).click();
    await demo.node.connection(2);
    await page.locator("#connection-id", { hasText: ".2" }).waitFor();
    await page.locator(".event", { hasText: "back in the room" }).waitFor();
    await say(page, "and here I am");
    await page.locator(".message", { hasText: "and here I am" }).waitFor();
  });

  test("frames are shown as they go, and their tokens are cut", async () => {
    const page = await openTab("Alice");
    const login = page.locator(".frame", { hasText: "login" });
    await login.locator("summary").click();
    expect(await login.locator("pre").textContent()).toContain("…");
    expect(await login.locator("pre").textContent()).not.toContain('"device');
    expect(await page.locator(".frame[data-beat]:visible").count()).toBe(0);
    await page.getByLabel("Hide heartbeats").uncheck();
    await page.locator(".frame[data-beat]", { hasText: "pong" }).first().waitFor();
  });

  test("a device that was closed for good says why, and connects again when asked", async () => {
    const page = await openTab("Alice");
    (await demo.node.connection(1)).close(4210, "the device has connected again");
    await page.getByText("This device is connected in another tab").waitFor();
    const before = await page.locator("#device-id").textContent();
    await page.getByRole("button", { name: "Become another device" }).click();
    await page.locator('#status[data-state="online"]').waitFor();
    expect(await page.locator("#device-id").textContent()).not.toBe(before);
    expect(await page.locator("#notice").isVisible()).toBe(false);
  });

  test("a new name is a new login of the same device", async () => {
    const page = await openTab("Alice");
    await page.getByLabel("You are").fill("Alicia");
    await page.getByRole("button", { name: "Rename" }).click();
    const second = await demo.node.connection(2);
    expect((await second.first("login")).token).toContain("Alicia");
    await page.locator(".device", { hasText: "Alicia" }).waitFor();
    await eventually("one device", async () => (await page.locator(".device").count()) === 1);
  });
});
