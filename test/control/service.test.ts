import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Apps } from "../../internal/auth/apps.ts";
import { SigningKeys } from "../../internal/auth/signing-keys.ts";
import { TokenIssuer } from "../../internal/auth/token-issuer.ts";
import { TokenVerifier } from "../../internal/auth/token-verifier.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { admitByGet } from "../../internal/control/admit-get.ts";
import { Canaries } from "../../internal/control/canary.ts";
import { Dispatch } from "../../internal/control/dispatch.ts";
import { Operator } from "../../internal/control/operator.ts";
import { NodeOrders } from "../../internal/control/orders.ts";
import { controlDoorkeeper, controlRoutes, quickCalls } from "../../internal/control/service.ts";
import { type HttpServer, notFound, startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { createLogger } from "../../internal/observe/logger.ts";
import {
  type Beat,
  BeatSchema,
  OrderSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeBeatSubject, nodeControlSubject } from "../../streams/subjects.ts";
import { type Admission, call } from "../support/gateway.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";

const ADMIT = "holdfast.control.v1.ControlService/Admit";
const ADMIN = "holdfast.admin.v1.AdminService/";
const DRAIN = "holdfast.control.v1.ControlService/Drain";

describe("the control API", () => {
  let server: HttpServer;
  let messages: MemoryMessages;
  let verifier: TokenVerifier;

  const beat = (name: string, change: Partial<Beat> = {}) => {
    const incarnation = `${name}-1`;
    const endpoints = [
      { url: `ws://${name}/connect`, protocol: "websocket" },
      { url: `tcp://${name}`, protocol: "tcp" },
    ];
    const sent = create(BeatSchema, {
      incarnation,
      name,
      endpoints,
      serving: true,
      ...change,
    } as object);
    messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, sent));
  };

  beforeEach(async () => {
    messages = new MemoryMessages();
    const secrets = new MemoryBucket();
    const apps = await Apps.follow(new MemoryBucket());
    await apps.ensure("demo", "k", "open");
    await apps.ensure("shop", "s", "key");
    const issuer = await TokenIssuer.open(secrets);
    const keys = await SigningKeys.follow(secrets);
    verifier = new TokenVerifier({ keys, apps });
    const nodes = new NodeRegistry({ messages });
    const canaries = await Canaries.follow(new MemoryBucket());
    const options = {
      apps,
      keys,
      issuer,
      verifier,
      revoked: new MemoryBucket(),
      operator: new Operator("op"),
      orders: new NodeOrders(nodes, messages),
      canaries,
      dispatch: new Dispatch({ nodes, canaries, clock: systemClock, random: Math.random }),
      clock: systemClock,
      tokenSeconds: 600,
      heartbeatSeconds: 30,
    };
    server = await startHttpServer({
      doorkeeper: controlDoorkeeper(options),
      listen: { host: "127.0.0.1", port: 0 },
      log: createLogger("fatal"),
      ready: () => true,
      routes: controlRoutes(options),
      quick: quickCalls(options),
      pages: admitByGet(options, notFound),
    });
  });
  afterEach(() => server[Symbol.asyncDispose]());

  const admit = (body: object, key: string | null = null) =>
    call<Admission>(server.url, ADMIT, body, key);

  it("admits a device with a token and the access points of live nodes", async () => {
    beat("a");
    const { token, endpoints, expiresAt } = await admit({ app: "demo", device: "d", user: "u" });
    expect(await verifier.verify(token)).toMatchObject({ app: "demo", device: "d", user: "u" });
    expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now() + 590_000);
    expect(endpoints.map(({ url, node }) => [url, node])).toEqual([
      ["ws://a/connect", "a-1"],
      ["tcp://a", "a-1"],
    ]);
  });

  it("answers the plain call and any other alike, also what is wrong with it", async () => {
    beat("a");
    const post = async (body: string, headers: Record<string, string> = {}) => {
      const method = "POST";
      const all = { "content-type": "application/json", ...headers };
      const response = await fetch(`${server.url}/${ADMIT}`, { method, headers: all, body });
      return {
        status: response.status,
        type: response.headers.get("content-type"),
        body: await response.text(),
      };
    };
    // With a timeout it is for connect-es.
    const slowly = { "connect-timeout-ms": "5000" };
    for (const body of [
      "{}",
      "{",
      "",
      "[]",
      '{"app":"demo","device":"d","typo":1}',
      '{"app":"demo","device":""}',
      '{"app":"shop","device":"d"}',
      '{"app":"demo","device":"d","protocols":["quic"]}',
    ]) {
      expect(await post(body), body).toEqual(await post(body, slowly));
    }
    const wrong = { authorization: "Bearer wrong" };
    expect(await post("{}", wrong)).toEqual(await post("{}", { ...wrong, ...slowly }));
    const good = '{"app":"demo","device":"d","user":"u"}';
    const [quick, slow] = [await post(good), await post(good, slowly)];
    const fields = ({ body }: { body: string }) => {
      const { token, expiresAt, ...rest } = JSON.parse(body);
      return { ...rest, token: token.length, expiresAt: Date.parse(expiresAt) > Date.now() };
    };
    expect(quick).toMatchObject({ status: 200, type: slow.type });
    expect(fields(quick)).toEqual(fields(slow));
    expect(fields(quick)).toMatchObject({ heartbeatSeconds: 30 });
  });

  it("chooses by the protocols and labels asked for, also of GET", async () => {
    beat("eu", { labels: { region: "eu" } });
    beat("us", { labels: { region: "us" } });
    const asked = { app: "demo", device: "d", protocols: ["tcp"], labels: { region: "us" } };
    const byRpc = await admit(asked);
    expect(byRpc.endpoints.map(({ url }) => url)).toEqual(["tcp://us"]);
    const query = "app=demo&device=d&protocols=tcp&labels=region=us";
    const byGet = (await (await fetch(`${server.url}/admit?${query}`)).json()) as Admission;
    expect(byGet.endpoints).toEqual(byRpc.endpoints);
    await expect(admit({ ...asked, protocols: ["quic"] })).rejects.toThrow(/503.*speaks quic/);
    const typo = await fetch(`${server.url}/admit?app=demo&device=d&labels=region`);
    expect([typo.status, await typo.text()]).toEqual([400, expect.stringMatching(/labels/)]);
  });

  it("takes canary rules from the operator alone, and says what is wrong with one", async () => {
    beat("new", { labels: { pool: "canary" } });
    beat("old");
    const canary = { name: "try", nodes: { pool: "canary" }, percent: 100, platforms: ["ios"] };
    await expect(call(server.url, `${ADMIN}SetCanary`, { canary }, "k")).rejects.toThrow(/401/);
    const set = await call(server.url, `${ADMIN}SetCanary`, { canary }, "op");
    expect(set).toMatchObject({ canary, nodes: ["new-1"] });
    const nodesOf = async (platform: string) => {
      const { endpoints } = await admit({ app: "demo", device: "d", client: { platform } });
      return [...new Set(endpoints.map(({ node }) => node))];
    };
    expect([await nodesOf("ios"), await nodesOf("android")]).toEqual([["new-1"], ["old-1"]]);
    for (const [change, field] of [
      [{ percent: 101 }, "percent"],
      [{ percent: -1 }, "percent"],
      [{ nodes: {} }, "nodes"],
      [{ nodes: { "po ol": "x" } }, "nodes"],
      [{ name: "a b" }, "name"],
      [{ persent: 5 }, "persent"],
    ] as const) {
      const wrong = call(
        server.url,
        `${ADMIN}SetCanary`,
        { canary: { ...canary, ...change } },
        "op",
      );
      await expect(wrong).rejects.toThrow(new RegExp(`400.*${field}`));
    }
    expect(await call(server.url, `${ADMIN}ListCanaries`, {}, "op")).toMatchObject({
      canaries: [{ name: "try" }],
    });
    await call(server.url, `${ADMIN}DeleteCanary`, { name: "try" }, "op");
    await expect(call(server.url, `${ADMIN}DeleteCanary`, { name: "try" }, "op")).rejects.toThrow(
      /404/,
    );
    expect((await nodesOf("ios")).sort()).toEqual(["new-1", "old-1"]);
  });

  it("sends nobody to a node that drains or is cut off", async () => {
    beat("draining", { draining: true });
    beat("alone", { serving: false });
    await expect(admit({ app: "demo", device: "d" })).rejects.toThrow(
      /503.*no access node is live/,
    );
    beat("good");
    const { endpoints } = await admit({ app: "demo", device: "d" });
    expect(new Set(endpoints.map(({ node }) => node))).toEqual(new Set(["good-1"]));
  });

  it("sends clients where there is room, and gives them turns where there is none", async () => {
    const overloaded = { retryAfterMs: 2_000, loginsPerSecond: 100 };
    beat("full", overloaded);
    beat("good");
    const free = await admit({ app: "demo", device: "d" });
    expect(new Set(free.endpoints.map(({ node }) => node))).toEqual(new Set(["good-1"]));
    expect(free.afterMs ?? 0).toBe(0);

    beat("good", overloaded);
    const turns: number[] = [];
    for (let i = 0; i < 20; i++) {
      turns.push((await admit({ app: "demo", device: "d" })).afterMs ?? 0);
    }
    // Behind those who wait at the nodes already, and a part of it is left to chance.
    expect(Math.min(...turns)).toBeGreaterThan(1_400);
    expect(new Set(turns).size).toBeGreaterThan(10);
  });

  it("counts the workers behind one address together", async () => {
    const endpoints = [{ url: "ws://shared/connect", protocol: "websocket" }];
    const shared = { endpoints, loginsPerSecond: 100 } as Partial<Beat>;
    beat("w1", { ...shared, retryAfterMs: 2_000 });
    beat("w2", shared);
    beat("w3", shared);
    expect((await admit({ app: "demo", device: "d" })).afterMs ?? 0).toBe(0);
    beat("w2", { ...shared, retryAfterMs: 2_000 });
    expect((await admit({ app: "demo", device: "d" })).afterMs).toBeGreaterThan(0);
  });

  it("wants the API key of an app that is not open, and takes no wrong key for one that is", async () => {
    beat("a");
    await expect(admit({ app: "shop", device: "d" })).rejects.toThrow(/401/);
    await expect(admit({ app: "nobody", device: "d" })).rejects.toThrow(/401/);
    await expect(admit({ app: "demo", device: "d" }, "wrong")).rejects.toThrow(/401/);
    await expect(admit({ app: "shop", device: "d" }, "s")).resolves.toBeDefined();
    await expect(admit({ app: "demo", device: "d" }, "k")).resolves.toBeDefined();
  });

  it.each([
    ["app", { device: "d" }],
    ["device", { app: "demo" }],
    ["device", { app: "demo", device: "line\nbreak" }],
    ["device", { app: "demo", device: "é".repeat(65) }],
    ["user", { app: "demo", device: "d", user: "u".repeat(129) }],
  ])("names the field %s when it breaks the rule for ids", async (field, body) => {
    await expect(admit(body)).rejects.toThrow(new RegExp(`400.*${field}`));
  });

  it("takes ids with dots, stars, spaces and emoji", async () => {
    beat("a");
    const device = "a.b * > 📱";
    const { token } = await admit({ app: "demo", device });
    expect((await verifier.verify(token)).device).toBe(device);
  });

  it("gives a drain order to every incarnation of a name, for the operator only", async () => {
    beat("a");
    const orders: unknown[] = [];
    messages.subscribe(nodeControlSubject("a-1"), ({ data }) =>
      orders.push(fromBinary(OrderSchema, data).body),
    );
    await expect(call(server.url, DRAIN, { node: "a" }, "k")).rejects.toThrow(/401/);
    expect(orders).toEqual([]);
    expect(await call(server.url, DRAIN, { node: "a", overSeconds: 5 }, "op")).toEqual({
      nodes: ["a-1"],
    });
    await expect.poll(() => orders).toMatchObject([{ case: "drain", value: { overMs: 5000 } }]);
    await expect(call(server.url, DRAIN, { node: "gone" }, "op")).rejects.toThrow(/404.*gone/);
  });

  describe("apps and keys", () => {
    const ADMIN = "holdfast.admin.v1.AdminService/";
    type Key = { id: string; secret: string };
    type App = { app: string; admission: string };
    const admin = <T>(method: string, body: object, key: string | null = "op") =>
      call<T>(server.url, ADMIN + method, body, key);

    it("are the operator's alone", async () => {
      for (const key of [null, "k", "wrong"]) {
        await expect(admin("CreateApp", { app: "new" }, key)).rejects.toThrow(/401.*operator key/);
        await expect(admin("ListApps", {}, key)).rejects.toThrow(/401/);
        await expect(admin("Revoke", { app: "demo", users: ["u"] }, key)).rejects.toThrow(/401/);
      }
    });

    it("begin with one key, and admission closed", async () => {
      beat("a");
      const made = await admin<{ app: App; key: Key }>("CreateApp", { app: "new" });
      expect(made.app).toMatchObject({ app: "new", admission: "key" });
      await expect(admit({ app: "new", device: "d" })).rejects.toThrow(/401/);
      await expect(admit({ app: "new", device: "d" }, made.key.secret)).resolves.toBeDefined();
      await expect(admit({ app: "shop", device: "d" }, made.key.secret)).rejects.toThrow(/401/);
      await expect(admin("CreateApp", { app: "new" })).rejects.toThrow(/409.*already/);
      const { apps } = await admin<{ apps: App[] }>("ListApps", {});
      expect(apps.map(({ app }) => app)).toEqual(["demo", "new", "shop"]);
    });

    it("show a secret once, and a revoked key is good for nothing", async () => {
      beat("a");
      const { key } = await admin<{ key: Key }>("CreateKey", { app: "shop", name: "worker" });
      const { keys } = await admin<{ keys: Key[] }>("ListKeys", { app: "shop" });
      expect(keys.find(({ id }) => id === key.id)).toMatchObject({ name: "worker" });
      expect(JSON.stringify(keys)).not.toContain(key.secret);
      await admit({ app: "shop", device: "d" }, key.secret);
      await admin("RevokeKey", { app: "shop", keyId: key.id });
      await expect(admit({ app: "shop", device: "d" }, key.secret)).rejects.toThrow(/401/);
      await expect(admin("RevokeKey", { app: "shop", keyId: "gone" })).rejects.toThrow(/404.*gone/);
    });

    it("hold a key to its scope and its time", async () => {
      beat("a");
      const scope = { rpcs: ["Admit"], targetPrefixes: ["team-"] };
      const { key } = await admin<{ key: Key }>("CreateKey", { app: "shop", scope });
      await admit({ app: "shop", device: "team-1" }, key.secret);
      await expect(admit({ app: "shop", device: "d" }, key.secret)).rejects.toThrow(/403.*target/);
      const pushes = await admin<{ key: Key }>("CreateKey", {
        app: "shop",
        scope: { rpcs: ["PushToUsers"] },
      });
      await expect(admit({ app: "shop", device: "d" }, pushes.key.secret)).rejects.toThrow(
        /403.*Admit/,
      );
      const old = await admin<{ key: Key }>("CreateKey", {
        app: "shop",
        expiresAt: "2020-01-01T00:00:00Z",
      });
      await expect(admit({ app: "shop", device: "d" }, old.key.secret)).rejects.toThrow(/401/);
    });

    it.each([
      [{ kid: "k", algorithm: "HS256", secret: "c2hvcnQ" }, /at least 32 bytes/],
      [{ kid: "k", algorithm: "EdDSA" }, /public_key or a jwks_url/],
      [{ kid: "k", algorithm: "EdDSA", publicKey: "nonsense" }, /not a public key/],
      [{ kid: "k", algorithm: "none" }, /algorithm/],
      [{ kid: "k", algorithm: "ES256", jwksUrl: "ftp://x" }, /jwks_url|jwksUrl/],
    ])("refuse a token key that cannot be right: %j", async (tokenKey, message) => {
      await expect(admin("SetTokenKey", { app: "shop", tokenKey })).rejects.toThrow(message);
    });

    it("are deleted with everything", async () => {
      beat("a");
      await admin("DeleteApp", { app: "shop" });
      await expect(admit({ app: "shop", device: "d" }, "s")).rejects.toThrow(/401/);
      await expect(admin("GetApp", { app: "shop" })).rejects.toThrow(/404/);
    });
  });

  describe("GET /admit", () => {
    type Answer = { token: string; message: string; endpoints: { protocol: string }[] };
    const get = async (query: string, key?: string) => {
      const headers: Record<string, string> =
        key === undefined ? {} : { authorization: `Bearer ${key}` };
      const response = await fetch(`${server.url}/admit?${query}`, { headers });
      return { status: response.status, body: (await response.json()) as Answer };
    };

    it("admits as the RPC does", async () => {
      beat("a");
      const { status, body } = await get("app=demo&device=d&user=u&platform=web");
      expect(status).toBe(200);
      expect(await verifier.verify(body.token)).toMatchObject({
        app: "demo",
        device: "d",
        user: "u",
      });
      expect(body.endpoints.map(({ protocol }) => protocol)).toEqual(["websocket"]);
      expect((await get("app=shop&device=d", "s")).status).toBe(200);
    });

    it.each([
      ["app=demo", 400, /device/],
      ["app=demo&device=d&color=red", 400, /color/],
      ["app=shop&device=d", 401, /do not go together/],
    ])("answers %s with %i", async (query, status, message) => {
      beat("a");
      const answer = await get(query);
      expect(answer.status).toBe(status);
      expect(answer.body.message).toMatch(message);
    });
  });
});
