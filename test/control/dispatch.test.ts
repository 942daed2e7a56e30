/** Which access points clients are offered: what holds for every set of nodes and every client. */
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fits } from "../../internal/control/canary.ts";
import { Dispatch, type DispatchClient } from "../../internal/control/dispatch.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { type Beat, BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { CanaryRule } from "../../streams/records.ts";
import { nodeBeatSubject } from "../../streams/subjects.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

type Node = Partial<Omit<Beat, "$typeName" | "$unknown">>;

const client = (change: Partial<DispatchClient> = {}): DispatchClient => ({
  app: "demo",
  device: "phone",
  platform: "ios",
  appVersion: "2.1.0",
  labels: {},
  protocols: [],
  dispatch: "load",
  ...change,
});
const rule = (change: Partial<CanaryRule> = {}): CanaryRule => ({
  name: "new",
  nodes: { pool: "canary" },
  percent: 100,
  app: "",
  platforms: [],
  appVersions: [],
  labels: {},
  ...change,
});

function setUp(seed = 1) {
  const messages = new MemoryMessages();
  const clock = new VirtualClock();
  const nodes = new NodeRegistry({ messages, clock, silenceMs: 3_000 });
  let rules: readonly CanaryRule[] = [];
  const canaries = { list: () => rules };
  const random = seededRandom(seed);
  const dispatch = new Dispatch({ nodes, canaries, clock, random });
  return {
    clock,
    dispatch,
    setRules: (...now: CanaryRule[]) => {
      rules = now;
    },
    async beat(name: string, node: Node = {}) {
      const { endpoints = bothOf(name), ...rest } = node;
      const beat = { incarnation: `${name}-1`, name, serving: true, endpoints, ...rest };
      messages.publish(
        nodeBeatSubject(beat.incarnation),
        toBinary(BeatSchema, create(BeatSchema, beat as object)),
      );
      await Promise.resolve();
    },
    /** The nodes offered, in order. */
    offered: (change: Partial<DispatchClient> = {}) =>
      dispatch
        .choose(client(change))
        .offers.map(({ address }) => address.nodes[0]?.beat.name ?? ""),
  };
}

function bothOf(name: string): Beat["endpoints"] {
  return [
    { url: `ws://${name}/connect`, protocol: "websocket" },
    { url: `tcp://${name}`, protocol: "tcp" },
  ] as Beat["endpoints"];
}

const anyNode = fc.record({
  serving: fc.boolean(),
  draining: fc.boolean(),
  connections: fc.integer({ min: 0, max: 200 }),
  maxConnections: fc.constantFrom(0, 100),
  load: fc.double({ min: 0, max: 1, noNaN: true }),
  retryAfterMs: fc.constantFrom(0, 0, 500),
  weight: fc.constantFrom(0, 1, 100, 1_000),
  labels: fc.dictionary(fc.constantFrom("region", "pool"), fc.constantFrom("eu", "us", "canary")),
  silent: fc.boolean(),
});
const anyClient = fc.record({
  device: fc.string({ minLength: 1, maxLength: 8 }),
  platform: fc.constantFrom("web", "ios", ""),
  labels: fc.dictionary(fc.constantFrom("region", "pool", "tier"), fc.constantFrom("eu", "gold")),
  protocols: fc.subarray(["websocket", "tcp", "quic"]),
  dispatch: fc.constantFrom("load" as const, "device" as const),
});

test("what drains, is silent, full or cut off is never offered, and all else is found", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyNode, { maxLength: 8 }),
      fc.array(anyClient, { minLength: 1, maxLength: 5 }),
      fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }),
      async (nodes, clients, percent) => {
        const world = setUp();
        if (percent !== undefined) world.setRules(rule({ percent }));
        for (const [index, node] of nodes.entries()) await world.beat(`n${index}`, node);
        world.clock.advance(2_000);
        // What was prepared before some fell silent.
        world.dispatch.choose(client());
        for (const [index, node] of nodes.entries()) {
          if (!node.silent) await world.beat(`n${index}`, node);
        }
        world.clock.advance(1_001);
        const good = new Set(
          nodes.flatMap(({ serving, draining, silent, connections, maxConnections }, index) => {
            const full = maxConnections > 0 && connections >= maxConnections;
            return serving && !draining && !silent && !full ? [`n${index}`] : [];
          }),
        );
        for (const one of clients) {
          const { offers, afterMs } = world.dispatch.choose(client(one));
          const protocols = offers.map(({ address }) => address.protocol);
          for (const { address } of offers) {
            expect(good).toContain(address.nodes[0]?.beat.name);
          }
          expect(new Set(offers.map(({ address }) => address.url)).size).toBe(offers.length);
          const can = one.protocols.length > 0 ? one.protocols : ["websocket", "tcp"];
          const speaks = one.protocols.length === 0 && one.platform === "web" ? ["websocket"] : can;
          for (const protocol of protocols) expect(speaks).toContain(protocol);
          const findable = good.size > 0 && speaks.some((protocol) => protocol !== "quic");
          expect(offers.length > 0).toBe(findable);
          const roomy = [...good].some((name) => nodes[Number(name.slice(1))]?.retryAfterMs === 0);
          // Of the nodes of a canary it depends on whose they are.
          if (findable && percent === undefined) expect(afterMs > 0).toBe(!roomy);
        }
      },
    ),
    { numRuns: 200 },
  );
});

describe("the access points offered to a client", () => {
  test("are none when no node is live, and WebSocket first", async () => {
    const world = setUp();
    expect(world.offered()).toEqual([]);
    await world.beat("a");
    const { offers } = world.dispatch.choose(client());
    expect(offers.map(({ address }) => address.protocol)).toEqual(["websocket", "tcp"]);
  });

  test("are few even when there are many nodes, and all are used", async () => {
    const world = setUp();
    for (let index = 0; index < 100; index++) await world.beat(`n${index}`);
    const seen = new Set<string>();
    for (let turn = 0; turn < 500; turn++) {
      const names = world.offered({ protocols: ["websocket"] });
      expect(names).toHaveLength(4);
      for (const name of names) seen.add(name);
    }
    expect(seen.size).toBe(100);
  });

  test("prefer less loaded nodes in proportion, and never send everybody to one", async () => {
    const world = setUp(7);
    await world.beat("full", { connections: 9_900 });
    await world.beat("busy", { load: 1 });
    await world.beat("heavy", { weight: 300 });
    await world.beat("usual");
    const first: Record<string, number> = { full: 0, busy: 0, heavy: 0, usual: 0 };
    for (let turn = 0; turn < 4_000; turn++) {
      const [name = ""] = world.offered();
      first[name] = (first[name] ?? 0) + 1;
    }
    const { full = 0, busy = 0, heavy = 0, usual = 0 } = first;
    expect(heavy / usual).toBeGreaterThan(2.5);
    expect(heavy / usual).toBeLessThan(3.6);
    expect(full).toBeGreaterThan(0);
    expect(full).toBeLessThan(usual / 20);
    expect(busy).toBeLessThan(usual / 5);
  });

  test("have the labels asked for, as far as nodes have them, and others where those have no room", async () => {
    const world = setUp();
    await world.beat("eu", { labels: { region: "eu" } });
    await world.beat("us", { labels: { region: "us" } });
    const eu = { labels: { region: "eu", tier: "gold" }, platform: "web" };
    expect(world.offered(eu)).toEqual(["eu"]);
    expect(world.offered({ labels: { region: "mars" } })).toHaveLength(4);
    await world.beat("eu", { labels: { region: "eu" }, retryAfterMs: 1_000 });
    expect(world.offered(eu)).toEqual(["us"]);
    await world.beat("us", { labels: { region: "us" }, draining: true });
    expect(world.offered(eu)).toEqual(["eu"]);
  });
});

describe("an app that asks for the same nodes for the same device", () => {
  const pinned = { dispatch: "device" as const, protocols: ["websocket"] };

  test("gets them, and a node that goes moves its own devices only", async () => {
    const world = setUp();
    for (let index = 0; index < 20; index++) await world.beat(`n${index}`);
    const devices = Array.from({ length: 500 }, (_, index) => `device${index}`);
    const where = () => devices.map((device) => world.offered({ ...pinned, device })[0]);
    const before = where();
    expect(where()).toEqual(before);
    expect(new Set(before).size).toBe(20);
    await world.beat("n3", { draining: true });
    const after = where();
    for (const [index, place] of before.entries()) {
      if (place !== "n3") expect(after[index]).toBe(place);
      else expect(after[index]).not.toBe("n3");
    }
  });

  test("is told to try the others only when the first fails", async () => {
    const world = setUp();
    for (let index = 0; index < 5; index++) await world.beat(`n${index}`);
    const { offers } = world.dispatch.choose(client(pinned));
    expect(offers.map(({ weight }) => weight)).toEqual([100, 0, 0, 0]);
  });
});

describe("a canary rule", () => {
  test("takes the same share of the clients every time, and more when it grows", () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (device, a, b) => {
          const small = fits(rule({ percent: Math.min(a, b) }), client({ device }));
          const large = fits(rule({ percent: Math.max(a, b) }), client({ device }));
          expect(!small || large).toBe(true);
          expect(fits(rule({ percent: 0 }), client({ device }))).toBe(false);
          expect(fits(rule({ percent: 100 }), client({ device }))).toBe(true);
        },
      ),
    );
    const devices = Array.from({ length: 10_000 }, (_, index) => client({ device: `d${index}` }));
    const share = devices.filter((one) => fits(rule({ percent: 10 }), one)).length / 100;
    expect(share).toBeGreaterThan(9);
    expect(share).toBeLessThan(11);
  });

  test.each([
    [{ app: "other" }, false],
    [{ app: "demo" }, true],
    [{ platforms: ["android", "ios"] }, true],
    [{ platforms: ["web"] }, false],
    [{ appVersions: ["2.*"] }, true],
    [{ appVersions: ["2.1.0"] }, true],
    [{ appVersions: ["2.1"] }, false],
    [{ labels: { tier: "gold" } }, true],
    [{ labels: { tier: "gold", region: "eu" } }, false],
  ])("looks at the client: %o", (change, expected) => {
    expect(fits(rule(change), client({ labels: { tier: "gold" } }))).toBe(expected);
  });

  test("sends its clients to its nodes and no others there, at once when it is set and deleted", async () => {
    const world = setUp();
    await world.beat("canary", { labels: { pool: "canary" } });
    await world.beat("a");
    const web = { platform: "web" };
    expect(world.offered(web).sort()).toEqual(["a", "canary"]);
    world.setRules(rule({ platforms: ["ios"] }));
    expect(world.offered(web)).toEqual(["a"]);
    expect(new Set(world.offered({ platform: "ios" }))).toEqual(new Set(["canary"]));
    // Who asks for it by its labels gets it.
    expect(world.offered({ ...web, labels: { pool: "canary" } })).toEqual(["canary"]);
    await world.beat("canary", { labels: { pool: "canary" }, draining: true });
    expect(new Set(world.offered({ platform: "ios" }))).toEqual(new Set(["a"]));
    await world.beat("canary", { labels: { pool: "canary" } });
    await world.beat("a", { draining: true });
    expect(world.offered(web)).toEqual(["canary"]);
    world.setRules();
    await world.beat("a");
    expect(world.offered(web).sort()).toEqual(["a", "canary"]);
  });
});
