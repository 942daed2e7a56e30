import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Apps } from "../../internal/auth/apps.ts";
import { TokenIssuer, TokenVerifier } from "../../internal/auth/tokens.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { controlDoorkeeper, controlRoutes } from "../../internal/control/service.ts";
import { type HttpServer, startHttpServer } from "../../internal/http/server.ts";
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
    verifier = await TokenVerifier.follow(secrets);
    const issuer = await TokenIssuer.open(secrets);
    verifier = await TokenVerifier.follow(secrets);
    const isOperator = (key: string | undefined) => key === "op";
    server = await startHttpServer({
      doorkeeper: controlDoorkeeper({ apps, isOperator }),
      listen: { host: "127.0.0.1", port: 0 },
      log: createLogger("fatal"),
      ready: () => true,
      routes: controlRoutes({
        apps,
        issuer,
        nodes: new NodeRegistry({ messages }),
        messages,
        clock: systemClock,
        random: Math.random,
        tokenSeconds: 600,
        isOperator,
      }),
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
});
