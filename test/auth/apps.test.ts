import { describe, expect, it } from "vitest";
import { Apps } from "../../internal/auth/apps.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";

describe("an app's API key", () => {
  it("lets the app in, and no other app", async () => {
    const apps = await Apps.follow(new MemoryBucket());
    await apps.ensure("demo", "secret", "open");
    await apps.ensure("shop", "other", "key");
    expect(() => apps.authorize("demo", "secret")).not.toThrow();
    expect(() => apps.authorize("shop", "secret")).toThrow(/do not go together/);
  });

  it("is refused with the same words whether the app or the key is wrong", async () => {
    const apps = await Apps.follow(new MemoryBucket());
    await apps.ensure("demo", "secret", "open");
    const words = (app: string, key?: string) => {
      try {
        apps.authorize(app, key);
      } catch (error) {
        return String(error);
      }
      return "let in";
    };
    expect(words("demo", "wrong")).toMatch(/do not go together/);
    expect(
      new Set([
        words("demo", "wrong"),
        words("demo"),
        words("nobody", "secret"),
        words("nobody", ""),
      ]).size,
    ).toBe(1);
  });

  it("stays good when a second key is added", async () => {
    const apps = await Apps.follow(new MemoryBucket());
    await apps.ensure("demo", "old", "open");
    await apps.ensure("demo", "new", "open");
    expect(() => apps.authorize("demo", "old")).not.toThrow();
    expect(() => apps.authorize("demo", "new")).not.toThrow();
  });

  it("is kept only as a hash", async () => {
    const bucket = new MemoryBucket();
    await (await Apps.follow(bucket)).ensure("demo", "very secret", "open");
    expect(Buffer.from(bucket.entries.get("demo")!.value!).toString()).not.toContain("very secret");
  });

  it("reaches other processes without a restart", async () => {
    const bucket = new MemoryBucket();
    const elsewhere = await Apps.follow(bucket);
    await (await Apps.follow(bucket)).ensure("demo", "secret", "open");
    expect(elsewhere.has("demo")).toBe(true);
    expect(elsewhere.admitsAnyone("demo")).toBe(true);
  });
});
