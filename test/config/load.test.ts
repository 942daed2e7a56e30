import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfig } from "../../internal/config/load.ts";
import { envName, flagName, shownValue } from "../../internal/config/options.ts";

const load = (
  flags: Record<string, unknown> = {},
  env: Record<string, string> = {},
  file?: string,
) => loadConfig({ flags, env, file });

describe("configuration", () => {
  it("stands on its own with nothing set", () => {
    const config = load();
    expect(config.controlListen).toEqual({ host: "127.0.0.1", port: 8080 });
    expect(config.wsListen.port).toBe(9000);
    expect(config.natsUrl).toBeUndefined();
    expect(config.workers).toBe(1);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it("takes the flag over the environment over the file", () => {
    const path = join(mkdtempSync(join(tmpdir(), "hf-config-")), "c.json");
    writeFileSync(path, JSON.stringify({ workers: 2, partitions: 4, tokenSeconds: 20 }));
    const config = load(
      { workers: "8" },
      { HOLDFAST_WORKERS: "4", HOLDFAST_PARTITIONS: "32" },
      path,
    );
    expect([config.workers, config.partitions, config.tokenSeconds]).toEqual([8, 32, 20]);
  });

  it("lists every mistake at once, each with the place it was made", () => {
    const attempt = () =>
      load(
        { workers: "0", wsListen: "localhost" },
        { HOLDFAST_PARTITIONS: "many", HOLDFAST_NATS_URL: "http://x", HOLDFAST_TLS_CERT: "a.pem" },
      );
    expect(attempt).toThrow(/--workers must be a whole number from 1 to 256, not "0"/);
    expect(attempt).toThrow(/--ws-listen must be "host:port"/);
    expect(attempt).toThrow(
      /HOLDFAST_PARTITIONS must be a whole number from 1 to 1024, not "many"/,
    );
    expect(attempt).toThrow(/HOLDFAST_NATS_URL must be/);
    expect(attempt).toThrow(/tlsCert and tlsKey go together/);
  });

  it("names a field of the file that is no option", () => {
    const path = join(mkdtempSync(join(tmpdir(), "hf-config-")), "c.json");
    writeFileSync(path, JSON.stringify({ patritions: 4 }));
    expect(() => load({}, {}, path)).toThrow(/"patritions" in the config file is not an option/);
  });

  it("says so when the file is missing or not JSON", () => {
    expect(() => load({}, { HOLDFAST_CONFIG: "/nowhere.json" })).toThrow(
      /config file \/nowhere.json/,
    );
  });

  it("takes an empty variable as unset", () => {
    expect(load({}, { HOLDFAST_NATS_URL: "" }).natsUrl).toBeUndefined();
  });

  it("does not print a key that is wrong", () => {
    const secret = "s".repeat(300);
    expect(() => load({}, { HOLDFAST_DEV_KEY: secret })).toThrow(
      /HOLDFAST_DEV_KEY must be at most 256/,
    );
    expect(() => load({}, { HOLDFAST_DEV_KEY: secret })).not.toThrow(new RegExp(secret));
  });

  it("does not print a password either, and wants a user with it", () => {
    const password = "hush";
    expect(() => load({}, { HOLDFAST_NATS_PASSWORD: password })).toThrow(/set both or neither/);
    const url = "nats://me:hush@a,nats://me:hush@b c";
    expect(() => load({}, { HOLDFAST_NATS_URL: url })).toThrow(/HOLDFAST_NATS_URL must be/);
    expect(() => load({}, { HOLDFAST_NATS_URL: url })).not.toThrow(/hush/);
    expect(JSON.stringify(shownValue("natsUrl", ["nats://me:hush@a"]))).not.toContain("hush");
    expect(shownValue("natsPassword", password)).toBe("[redacted]");
  });

  it("reads IPv6 addresses in brackets", () => {
    expect(load({ wsListen: "[::1]:0" }).wsListen).toEqual({ host: "::1", port: 0 });
  });

  it("names options the same way everywhere", () => {
    expect(envName("natsUrl")).toBe("HOLDFAST_NATS_URL");
    expect(flagName("maxConnectionsPerIp")).toBe("--max-connections-per-ip");
  });
});
