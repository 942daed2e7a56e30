/** `holdfast all` as a newcomer meets it: plain HTTP, a plain WebSocket, a plain NATS client. */
import { Kvm } from "@nats-io/kv";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { getDevices, push } from "../support/api.ts";
import { eventually } from "../support/eventually.ts";
import {
  admit,
  call,
  DEV_KEY,
  type GatewayProcess,
  ready,
  startGateway,
} from "../support/gateway.ts";
import { grpcClient, grpcPush } from "../support/grpc-client.ts";
import { connectJson, loginJson } from "../support/json-client.ts";

let gateway: GatewayProcess;
let controlUrl: string;
let pushUrl: string;

beforeAll(async () => {
  gateway = await startGateway("all");
  controlUrl = await gateway.address("control", "http");
  pushUrl = await gateway.address("push", "http");
  await Promise.all([ready(controlUrl), ready(pushUrl)]);
});
afterAll(() => gateway?.[Symbol.asyncDispose]());

/** A device that has been admitted and is logged in where Admit said. */
async function join(device: string, user = "") {
  const { token, endpoints } = await admit(controlUrl, device, user);
  const endpoint = endpoints.find(({ protocol }) => protocol === "websocket");
  return loginJson(endpoint!.url, token);
}

describe("a device", () => {
  test("is admitted with a token, its expiry, and where to connect", async () => {
    const admission = await admit(controlUrl, "alice-phone", "alice");
    expect(admission.token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const seconds = (Date.parse(admission.expiresAt) - Date.now()) / 1_000;
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(900);
    expect(admission.endpoints).toContainEqual(
      expect.objectContaining({
        protocol: "websocket",
        url: expect.stringMatching(/^ws:.*\/connect$/),
      }),
    );
    expect(admission.endpoints).toContainEqual(
      expect.objectContaining({ protocol: "tcp", url: expect.stringMatching(/^tcp:/) }),
    );
  });

  test("is shown online with its node from its welcome on, and offline within 2 s after it left", async () => {
    const { client, welcome } = await join("bob-phone", "bob");
    expect(await getDevices(pushUrl, ["bob-phone"])).toMatchObject([
      {
        device: "bob-phone",
        online: true,
        known: true,
        user: "bob",
        node: welcome.node,
        connectionId: welcome.connectionId,
      },
    ]);

    client[Symbol.dispose]();
    const [shown] = await eventually(
      "it is shown offline",
      async () => {
        const shown = await getDevices(pushUrl, ["bob-phone"]);
        return shown[0]?.online ? undefined : shown;
      },
      { withinMs: 2_000 },
    );
    expect(shown).toMatchObject({ device: "bob-phone", known: true, user: "bob" });
    expect(await push(pushUrl, "Devices", ["bob-phone"], "too late")).toMatchObject([
      { status: "OFFLINE" },
    ]);
  });

  test("has its route in bucket hf_route, where any NATS client can read it", async () => {
    const { client, welcome } = await join("carol-phone", "carol");
    using _ = client;
    await using nats = await connect({ servers: await natsUrl() });
    const bucket = await new Kvm(nats).open("hf_route");
    const route = await eventually("the route is there", async () => {
      for await (const key of await bucket.keys()) {
        const value = (await bucket.get(key))?.json<Record<string, unknown>>();
        if (value?.device === "carol-phone" && value.online) return value;
      }
      return undefined;
    });
    expect(route).toMatchObject({
      app: "demo",
      user: "carol",
      connection: welcome.connectionId,
      node: welcome.node,
    });
  });

  test("that connects again keeps its newer connection; the older is told that it was replaced", async () => {
    const older = await join("dave-phone");
    const newer = await join("dave-phone");
    expect(await older.client.next("close")).toMatchObject({ code: 4210 });
    expect(await older.client.ended()).toBe(4210);
    expect(await push(pushUrl, "Devices", ["dave-phone"], "hello")).toMatchObject([
      { status: "SENT" },
    ]);
    expect(await newer.client.next("push")).toMatchObject({ message: { text: "hello" } });
    newer.client[Symbol.dispose]();
  });

  test("may have any name of 1 to 128 bytes", async () => {
    const name = "a.b *c>d/é😀".padEnd(100, "x");
    const { client, welcome } = await join(name);
    expect(await push(pushUrl, "Devices", [name], "hello")).toMatchObject([
      { target: name, status: "SENT" },
    ]);
    expect(await client.next("push")).toMatchObject({ message: { text: "hello" } });
    expect(await getDevices(pushUrl, [name])).toMatchObject([
      { device: name, online: true, connectionId: welcome.connectionId },
    ]);
    client[Symbol.dispose]();
  });
});

describe("a push", () => {
  test("reaches a client that speaks JSON by device, user, room, zone and as a broadcast", async () => {
    const { client } = await join("erin-phone", "erin");
    using _ = client;
    const text = async () => {
      const { message } = await client.next("push");
      return (message as { text: string }).text;
    };

    expect(await push(pushUrl, "Devices", ["erin-phone", "nobody"], "to devices")).toMatchObject([
      { target: "erin-phone", status: "SENT" },
      { target: "nobody", status: "UNKNOWN" },
    ]);
    expect(await text()).toBe("to devices");

    expect(await push(pushUrl, "Users", ["erin"], "to users")).toMatchObject([{ status: "SENT" }]);
    expect(await text()).toBe("to users");

    client.send({ join: { room: "r1" } });
    expect(await client.next("joined")).toMatchObject({ room: "r1" });
    expect(await push(pushUrl, "Rooms", ["r1"], "to rooms")).toMatchObject([{ status: "SENT" }]);
    expect(await text()).toBe("to rooms");

    const setRoom = "holdfast.directory.v1.DirectoryService/SetRoom";
    await call(pushUrl, setRoom, { app: "demo", room: "r1", zone: "z1" });
    await eventually("the node knows the room's zone", async () => {
      await push(pushUrl, "Zones", ["z1"], "to zones");
      return client.next("push", 250).catch(() => undefined);
    });

    await call(pushUrl, "holdfast.push.v1.PushService/Broadcast", {
      app: "demo",
      message: { business: "test", text: "to all" },
    });
    await eventually("the broadcast", async () => (await text()) === "to all");
  });

  test("by a plain gRPC client reaches a device", async () => {
    const { client } = await join("frank-phone");
    using _ = client;
    const reply = await grpcPush(new URL(pushUrl).host, DEV_KEY, {
      app: "demo",
      devices: ["frank-phone"],
      message: { business: "test", text: "by grpc" },
    });
    expect(reply.results).toMatchObject([{ target: "frank-phone", status: "SENT" }]);
    expect(await client.next("push")).toMatchObject({
      message: { messageId: reply.message_id, text: "by grpc" },
    });
  });
});

describe("bad input", () => {
  const message = { business: "test", text: "x" };
  const pushDevices = (body: object, key: string | null = DEV_KEY) =>
    call(
      pushUrl,
      "holdfast.push.v1.PushService/PushToDevices",
      { app: "demo", devices: ["d"], message, ...body },
      key,
    );

  test.each([
    ["a wrong key", {}, "wrong", /401.*unauthenticated/],
    ["no key", {}, null, /401.*unauthenticated/],
    [
      "an unknown app, which is told no more than a wrong key",
      { app: "nope" },
      DEV_KEY,
      /401.*unauthenticated/,
    ],
    ["10,001 targets", { devices: Array(10_001).fill("d") }, DEV_KEY, /400.*devices/],
    ["no targets", { devices: [] }, DEV_KEY, /400.*devices/],
    ["an id with a line break", { devices: ["a\nb"] }, DEV_KEY, /400.*devices\[0\]/],
    ["an id of 129 bytes", { devices: ["x".repeat(129)] }, DEV_KEY, /400.*devices\[0\]/],
    ["an empty id", { devices: [""] }, DEV_KEY, /400.*devices\[0\]/],
    ["a misspelt field", { device: ["a"] }, DEV_KEY, /400.*device/],
    [
      "a time to live of 0",
      { options: { delivery: "MUST_ARRIVE", ttlSeconds: 0 } },
      DEV_KEY,
      /400.*ttl_seconds/,
    ],
  ])("a push with %s is refused with a reason", async (_, body, key, reason) => {
    await expect(pushDevices(body, key)).rejects.toThrow(reason);
  });

  test("Admit refuses an unknown app and ids that are none", async () => {
    await expect(admit(controlUrl, "d", "", "nope")).rejects.toThrow(/401/);
    await expect(admit(controlUrl, "a\nb")).rejects.toThrow(/400.*device/);
  });

  const wrongToken = `${btoa('{"alg":"none"}')}.${btoa('{"app":"demo","device":"d"}')}.`.replaceAll(
    "=",
    "",
  );
  test.each([
    ["text that is no JSON", "garbage", 4200],
    ["a frame of no known kind", '{"fly":{}}', 4200],
    ["a frame before login that is no login", '{"ping":{}}', 4202],
    ["a token that nobody signed", JSON.stringify({ login: { token: wrongToken } }), 4101],
    ["a frame that is too long", "x".repeat(70_000), 1009],
  ])("%s ends the connection with a reason, and no other connection", async (_, frame, code) => {
    const { client: bystander } = await join("bystander");
    using _bystander = bystander;
    const { endpoints } = await admit(controlUrl, "clumsy");
    using clumsy = await connectJson(endpoints.find((e) => e.protocol === "websocket")!.url);
    clumsy.send(frame);
    expect(await clumsy.ended()).toBe(code);
    expect(await push(pushUrl, "Devices", ["bystander"], "still here")).toMatchObject([
      { status: "SENT" },
    ]);
    expect(await bystander.next("push")).toMatchObject({ message: { text: "still here" } });
  });
});

/** As printed at the start. */
async function natsUrl(): Promise<string> {
  return eventually("the address of NATS is printed", () => {
    for (const line of gateway.lines) {
      const [url] = /nats:\/\/127\.0\.0\.1:\d+/.exec(JSON.stringify(line)) ?? [];
      if (url !== undefined) return url;
    }
    return undefined;
  });
}

describe("both API ports", () => {
  const ports = () =>
    [
      [controlUrl, "holdfast.control.v1.ControlService"],
      [pushUrl, "holdfast.push.v1.PushService"],
    ] as const;

  test("answer gRPC's health check, as gRPC and as JSON", async () => {
    for (const [url, service] of ports()) {
      const { host } = new URL(url);
      using health = grpcClient("grpc/health/v1/health.proto", "grpc.health.v1.Health", host);
      expect(await health.call("Check", { service })).toEqual({ status: "SERVING" });
      const answer = await call(url, "grpc.health.v1.Health/Check", { service }, null);
      expect(answer).toEqual({ status: "SERVING" });
    }
  });

  test.each(["v1", "v1alpha"])("list their services by reflection %s", async (version) => {
    for (const [url, service] of ports()) {
      const name = `grpc.reflection.${version}.ServerReflection`;
      const file = `grpc/reflection/${version}/reflection.proto`;
      using reflection = grpcClient(file, name, new URL(url).host);
      const answers = await reflection.converse("ServerReflectionInfo", [{ list_services: "" }]);
      expect(JSON.stringify(answers)).toContain(service);
    }
  });

  test("say unimplemented as gRPC does, also where the demo page is", async () => {
    for (const [url] of ports()) {
      const answer = await fetch(`${url}/a.B/C`, {
        method: "POST",
        headers: { "content-type": "application/grpc-web" },
      });
      expect([answer.status, answer.headers.get("grpc-status")]).toEqual([200, "12"]);
    }
  });
});
