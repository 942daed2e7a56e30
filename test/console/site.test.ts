import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FakeDemo, startFakeDemo } from "./fake-demo.ts";

let demo: FakeDemo;

beforeAll(async () => {
  demo = await startFakeDemo();
});

afterAll(() => demo[Symbol.asyncDispose]());

function post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${demo.url}/demo/push`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

describe("the pages", () => {
  test("the page and everything it names are served with their types", async () => {
    const page = await fetch(demo.url);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const html = await page.text();
    const named = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path ?? "");
    expect(new Set(named).size).toBeGreaterThan(4);
    for (const path of [...named, "/sdk.js"]) {
      const response = await fetch(demo.url + path);
      expect([path, response.status]).toEqual([path, 200]);
      expect(response.headers.get("content-type")).toMatch(
        /^(text\/(css|javascript); |image\/svg)/,
      );
      await response.body?.cancel();
    }
  });

  test("a page may run and load nothing but its own", async () => {
    const policy = (await fetch(demo.url)).headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'; script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
  });

  test.each([
    "/nothing.html",
    "/../package.json",
    "/..%2f..%2fpackage.json",
    "/%2e%2e/site.ts",
    "/site.ts",
    "/public/index.html",
    "/.env",
  ])("%s is not served", async (path) => {
    // Not by fetch: it would tidy the path first.
    const { request } = await import("node:http");
    const { hostname, port } = new URL(demo.url);
    const status = await new Promise((answered) => {
      request({ hostname, port, path }, (response) => {
        response.resume();
        answered(response.statusCode);
      }).end();
    });
    expect(status).toBe(404);
  });

  test("other methods are refused", async () => {
    expect((await fetch(demo.url, { method: "PUT" })).status).toBe(405);
  });
});

describe("the demo API", () => {
  test("says which app this is and where the push API is", async () => {
    const config = await (await fetch(`${demo.url}/demo/config`)).json();
    expect(config).toEqual({ app: "demo", lobby: "lobby", pushUrl: "http://127.0.0.1:8090" });
  });

  test("lists nobody while nobody is there", async () => {
    expect(await (await fetch(`${demo.url}/demo/devices`)).json()).toEqual({ devices: [] });
  });

  test.each([
    [{ device: "nobody", text: "hi" }, [{ target: "nobody", status: "UNKNOWN" }]],
    [{ user: "nobody", text: "hi" }, [{ target: "nobody", status: "UNKNOWN" }]],
    [{ room: "lobby", text: "hi" }, [{ target: "lobby", status: "SENT" }]],
    [{ all: true, text: "hi", priority: "HIGH" }, [{ status: "SENT" }]],
  ])("pushes %j, and answers with the push API's own words", async (order, results) => {
    const response = await post(order);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ messageId: expect.any(String), results });
  });

  test.each([
    [{ text: "hi" }, "device | user | room | all"],
    [{ device: "a", room: "b", text: "hi" }, "device | user | room | all"],
    [{ all: false, text: "hi" }, "device | user | room | all"],
    [{ device: "", text: "hi" }, "at device"],
    [{ device: "a", text: "" }, "at text"],
    [{ device: "a", text: "hi", priority: "URGENT" }, "priority?"],
    ["not json", "the body must be JSON"],
    [{ device: "a", text: "x".repeat(20_000) }, "at most 16384 bytes"],
  ])("refuses a push that is not one, and says why: %j", async (order, why) => {
    const response = await post(order);
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(why);
  });

  test("refuses calls from the pages of other sites", async () => {
    const response = await post({ all: true, text: "hi" }, { "sec-fetch-site": "cross-site" });
    expect(response.status).toBe(403);
  });

  test("answers nothing else", async () => {
    expect((await fetch(`${demo.url}/demo/keys`)).status).toBe(404);
  });
});
