import { expect, test } from "vitest";
import { parseServers } from "../../internal/bus/servers.ts";

test("addresses get the usual port when they name none", () => {
  expect(parseServers(["nats://a", "nats://b:4333", "nats://[::1]:4444"])).toEqual({
    addresses: ["a:4222", "b:4333", "[::1]:4444"],
    tls: false,
    credentials: undefined,
  });
});

test("several servers may stand in one text, with commas between", () => {
  expect(parseServers(["nats://a:1, tls://b:2"])).toMatchObject({
    addresses: ["a:1", "b:2"],
    tls: true,
  });
});

test("a user and password, or a token, are taken out of the address and decoded", () => {
  expect(parseServers(["nats://me:p%40ss%3A1@a:1"])).toEqual({
    addresses: ["a:1"],
    tls: false,
    credentials: { user: "me", password: "p@ss:1" },
  });
  expect(parseServers(["nats://s3cret@a"]).credentials).toEqual({ token: "s3cret" });
});

test("servers share one set of credentials, named once or by all", () => {
  const credentials = { user: "u", password: "p" };
  expect(parseServers(["nats://a", "nats://u:p@b"]).credentials).toEqual(credentials);
  expect(parseServers(["nats://u:p@a,nats://u:p@b"]).credentials).toEqual(credentials);
  expect(() => parseServers(["nats://u:p@a", "nats://u:other@b"])).toThrow(/other credentials/);
});

test("every mistake is named at once, without telling a password", () => {
  const urls = ["http://a", "nats://u:hush@a:99999", "nats://", "", "nats://good"];
  const parse = () => parseServers(urls);
  expect(parse).toThrow(/"http:\/\/a" is not/);
  expect(parse).toThrow(/"nats:\/\/…@a:99999" is not/);
  expect(parse).toThrow(/"nats:\/\/" is not/);
  expect(parse).not.toThrow(/hush/);
  expect(() => parseServers([])).toThrow(/no NATS URL/);
});
