/** Uplinks through the whole gateway: business servers as programs of their own, a plain JSON client. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBusiness, type StateEvent, type Uplink } from "../../sdk/node-business.ts";
import { type Program, settingsOf, startProgram } from "../support/business-process.ts";
import { eventually } from "../support/eventually.ts";
import { admit, type GatewayProcess, ready, startGateway } from "../support/gateway.ts";
import { connectJson, type JsonClient, loginJson } from "../support/json-client.ts";

const MODES = ["stream", "request", "rpc"] as const;
type Mode = (typeof MODES)[number];

let gateway: GatewayProcess;
let settings: Record<string, string>;
const servers = new Map<Mode, Program>();

beforeAll(async () => {
  gateway = await startGateway("all");
  settings = await settingsOf(gateway);
  await ready(settings.HOLDFAST_CONTROL_URL ?? "");
  for (const mode of MODES) servers.set(mode, await startEcho(mode));
});
afterAll(async () => {
  for (const server of servers.values()) await server[Symbol.asyncDispose]();
  await gateway?.[Symbol.asyncDispose]();
});

async function startEcho(mode: Mode): Promise<Program> {
  const program = startProgram("examples/04_uplink_echo_server.ts", settings, [mode]);
  await program.printed(`echo_${mode} is ready`);
  return program;
}

async function webSocketOf(device: string) {
  const { token, endpoints } = await admit(settings.HOLDFAST_CONTROL_URL ?? "", device);
  const url = endpoints.find(({ protocol }) => protocol === "websocket")?.url ?? "";
  return { token, url };
}

async function join(device: string): Promise<JsonClient> {
  const { token, url } = await webSocketOf(device);
  return (await loginJson(url, token)).client;
}

const uplink = (mode: Mode, requestId: string) => ({
  uplink: { business: `echo_${mode}`, requestId, text: requestId, wantReply: mode !== "stream" },
});

/** What the echo server of this kind has to say, however it says it. */
async function echoOf(client: JsonClient, mode: Mode): Promise<unknown> {
  if (mode !== "stream") return (await client.next("uplinkReply")).text;
  return ((await client.next("push")).message as { text?: string }).text;
}

function open(business: string) {
  const { HOLDFAST_PUSH_URL: pushUrl = "", HOLDFAST_DEV_KEY: key = "" } = settings;
  const { HOLDFAST_NATS_URL: natsUrl = "" } = settings;
  return openBusiness({ app: "demo", business, pushUrl, key, natsUrl });
}

describe("an echo business", () => {
  test.each(MODES)("of mode %s answers a plain WebSocket client", async (mode) => {
    using client = await join(`echo-${mode}`);
    client.send(uplink(mode, "hello"));
    expect(await client.next("uplinkAck")).toMatchObject({ requestId: "hello", status: "OK" });
    expect(await echoOf(client, mode)).toBe("echo: hello");
  });

  test.each(MODES)("of mode %s, frozen and flooded, leaves the others alone", async (frozen) => {
    const others = MODES.filter((mode) => mode !== frozen);
    const flooders = await Promise.all(Array.from({ length: 4 }, (_, i) => join(`flood-${i}`)));
    using client = await join(`beside-${frozen}`);
    servers.get(frozen)?.child.kill("SIGSTOP");
    try {
      for (const flooder of flooders) {
        for (let i = 0; i < 200; i += 1) flooder.send(uplink(frozen, `${i}`));
      }
      for (let i = 0; i < 20; i += 1) {
        for (const mode of others) {
          client.send(uplink(mode, `${mode} ${i}`));
          expect(await echoOf(client, mode)).toBe(`echo: ${mode} ${i}`);
        }
      }
    } finally {
      servers.get(frozen)?.child.kill("SIGCONT");
      for (const flooder of flooders) flooder[Symbol.dispose]();
    }
    let turn = 0;
    await eventually("it answers again", async () => {
      turn += 1;
      client.send(uplink(frozen, `again ${turn}`));
      if (frozen === "stream") return (await echoOf(client, frozen)) !== undefined;
      const reply = await client.next("uplinkReply");
      return reply.status === "OK";
    });
  });
});

describe("two instances of a business server", () => {
  test("share stored uplinks, and none is lost when one is killed", async () => {
    await using extra = await startEcho("stream");
    using client = await join("sharing");
    const wanted = new Set<string>();
    for (let i = 0; i < 150; i += 1) {
      client.send(uplink("stream", `${i}`));
      // Not every one is waited for: some must be with the instance that dies.
      if (i === 120) extra.child.kill("SIGKILL");
      if (i % 10 < 9) continue;
      for (let left = 10; left > 0; left -= 1) {
        const { requestId, status } = await client.next("uplinkAck");
        expect(status).toBe("OK");
        wanted.add(`echo: ${requestId}`);
      }
    }
    await eventually(
      "every uplink is answered",
      async () => {
        const { message } = await client.next("push", 20_000);
        wanted.delete(String((message as { text?: string }).text));
        return wanted.size === 0;
      },
      { withinMs: 40_000 },
    );
  });

  test("share requests", async () => {
    await using first = await open("shared");
    await using second = await open("shared");
    await first.register({ mode: "request" });
    const taken = [0, 0];
    await first.onUplink(() => {
      taken[0] = (taken[0] ?? 0) + 1;
      return undefined;
    });
    await second.onUplink(() => {
      taken[1] = (taken[1] ?? 0) + 1;
      return undefined;
    });
    using client = await join("asking");
    for (let i = 0; i < 100; i += 1) {
      client.send({ uplink: { business: "shared", requestId: `${i}` } });
      expect(await client.next("uplinkAck")).toMatchObject({ status: "OK" });
    }
    expect(taken.reduce((sum, count) => sum + count)).toBe(100);
    expect(Math.min(...taken)).toBeGreaterThan(0);
  });
});

describe("the business kit", () => {
  test("hears of one uplink that was sent twice, and the client is answered twice", async () => {
    await using server = await open("once");
    await server.register({ mode: "request" });
    const heard: Uplink[] = [];
    await server.onUplink((uplink) => {
      heard.push(uplink);
      return { text: `answer ${heard.length}` };
    });
    using client = await join("insisting");
    const asked = { business: "once", requestId: "r", wantReply: true };
    client.send({ uplink: asked });
    expect(await client.next("uplinkReply")).toMatchObject({ text: "answer 1" });
    client.send({ uplink: { ...asked, retransmit: true } });
    expect(await client.next("uplinkReply")).toMatchObject({ text: "answer 1" });
    expect(heard).toMatchObject([{ device: "insisting", requestId: "r", retransmit: false }]);
  });

  test("acknowledges what takes long before it is answered, and refuses what fails", async () => {
    await using server = await open("slow");
    await server.register({ mode: "request" });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    await server.onUplink(({ text }) => {
      if (text === "fail") throw new Error("meant to");
      return promise;
    });
    using client = await join("patient");
    client.send({ uplink: { business: "slow", requestId: "1", wantReply: true } });
    expect(await client.next("uplinkAck")).toMatchObject({ requestId: "1", status: "OK" });
    resolve(undefined);
    expect(await client.next("uplinkReply")).toMatchObject({ requestId: "1", status: "OK" });
    client.send({ uplink: { business: "slow", requestId: "2", text: "fail" } });
    expect(await client.next("uplinkAck")).toMatchObject({ requestId: "2", status: "REFUSED" });
  });

  test("hears of devices that use the business, and of nobody else", async () => {
    await using server = await open("presence");
    const events: StateEvent[] = [];
    await server.onState((event) => void events.push(event));
    const { token, url } = await webSocketOf("using");
    using client = await connectJson(url);
    client.send({ login: { token, businesses: ["presence"] } });
    await client.next("welcome");
    using bystander = await join("not-using");
    bystander.send({ logout: {} });
    await bystander.ended();
    client.send({ logout: {} });
    const [online, offline] = await eventually("both were told", () =>
      events.length >= 2 ? events : undefined,
    );
    expect(online).toMatchObject({ event: "online", device: "using", reason: "" });
    expect(offline).toMatchObject({ event: "offline", device: "using", reason: "logout" });
    expect(offline?.connection).toBe(online?.connection);
    expect(offline?.sequence).toBeGreaterThan(online?.sequence ?? 0);
    expect(events.length).toBe(2);
  });

  test("hears who enters and leaves a room, also when the connection ends in it", async () => {
    await using server = await open("rooms");
    const events: StateEvent[] = [];
    await server.onState((event) => void (event.device === "guest" && events.push(event)), {
      scope: "rooms",
      everyInstance: true,
    });
    using guest = await join("guest");
    guest.send({ join: { room: "kitchen" } });
    await guest.next("joined");
    guest.send({ leave: { room: "kitchen" } });
    await guest.next("left");
    guest.send({ join: { room: "hall" } });
    await guest.next("joined");
    guest.send({ logout: {} });
    await eventually("all four were told", () => events.length === 4);
    expect(events.map(({ event, room, reason }) => [event, room, reason])).toEqual([
      ["enter", "kitchen", ""],
      ["leave", "kitchen", ""],
      ["enter", "hall", ""],
      ["leave", "hall", "logout"],
    ]);
  });
});
