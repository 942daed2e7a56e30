import { describe, expect, test } from "vitest";
import { UplinkStatus } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { connect, HoldfastSdkError, jsonEncoding, webSocket } from "../../sdk/index.ts";
import { tcp } from "../../sdk/node-tcp.ts";
import { eventually } from "../support/eventually.ts";
import { type Behaviour, FakeNode } from "./fake-gateway.ts";
import { cleanup, online, open, start } from "./started-client.ts";

describe("connecting", () => {
  test("a client is admitted, logs in and is online", async () => {
    const { client, node, control, statuses } = await start();
    const login = await (await node.connection(1)).first("login");
    expect(control.requests).toMatchObject([{ app: "demo", device: "phone", user: "alice" }]);
    expect(login).toMatchObject({ token: "token-1", lastDeliverySequence: 0n });
    expect(login.client).toMatchObject({ platform: "node", sdk: "holdfast-js/0.1.0" });
    expect(login.resume).toBeUndefined();
    await online(client);
    expect(statuses).toMatchObject([
      { state: "connecting" },
      { state: "online", connectionId: "node-a.1", node: "node-a", url: node.url },
    ]);
  });

  test("a client can speak JSON, for debugging", async () => {
    const { client, node } = await start({}, { encoding: jsonEncoding });
    await online(client);
    expect(node.connections[0]?.protocol).toBe("holdfast.v1.json");
    expect(await client.business("echo").request({ text: "hi" })).toMatchObject({ text: "hi" });
  });

  test("a client on Node can use TCP", async () => {
    const { client, node } = await start({ transport: "tcp" }, { transports: [tcp, webSocket] });
    await online(client);
    expect(node.connections[0]?.protocol).toBe("tcp");
    const data = new Uint8Array(50_000).fill(7);
    const reply = await client.business("echo").request({ data });
    expect(reply.data).toEqual(data);
  });

  test("an app's own server can do the admission", async () => {
    const node = cleanup.use(await FakeNode.start());
    const admit = async () => ({ token: "mine", endpoints: [{ url: node.url }] });
    const client = cleanup.use(connect({ admit }));
    await online(client);
    expect(await node.connections[0]?.first("login")).toMatchObject({ token: "mine" });
  });

  test("the next access point is tried when one is dead", async () => {
    const dead = await FakeNode.start();
    await dead[Symbol.asyncDispose]();
    const { client, control, node } = await start();
    await online(client);
    control.nodes = [dead, node];
    node.connections[0]?.close(4100);
    await node.connection(2);
    await online(client);
  });

  test("a gateway that is away is asked again, until it is there", async () => {
    const { client, control, node, statuses } = await start();
    control.failures.push({ status: 503, body: { code: "unavailable", message: "starting" } });
    await online(client);
    control.failures.push({ status: 503, body: { code: "unavailable", message: "starting" } });
    node.connections[0]?.close(4100);
    await node.connection(2);
    const waits = statuses.flatMap((status) =>
      status.state === "waiting" ? [status.cause.message] : [],
    );
    expect(waits).toContain("Admit: starting");
  });

  test("a device that is given a turn waits for it", async () => {
    const { client, control, node, statuses } = await start();
    await online(client);
    control.afterMs = 300;
    node.connections[0]?.close(4100);
    await node.connection(2);
    const waits = statuses.flatMap((status) =>
      status.state === "waiting" ? [status.delayMs] : [],
    );
    expect(waits).toContain(300);
    expect(control.requests).toHaveLength(2);
  });

  test("a gateway that says when to ask again is not asked before", async () => {
    const { client, control, node, statuses } = await start();
    await online(client);
    const body = { code: "unavailable", message: "busy" };
    control.failures.push({ status: 503, body, headers: { "retry-after": "1" } });
    node.connections[0]?.close(4100);
    await node.connection(2);
    const waits = statuses.flatMap((status) =>
      status.state === "waiting" ? [status.delayMs] : [],
    );
    expect(Math.max(...waits)).toBeGreaterThanOrEqual(1_000);
  });

  test("a device that is refused for good is told why and not asked again", async () => {
    const { client, control, node } = await start();
    await online(client);
    const body = { code: "not_found", message: 'app: there is no app "demo"' };
    control.failures.push({ status: 404, body });
    node.connections[0]?.close(4101);
    await eventually("closed", () => client.status.state === "closed");
    expect(client.status).toMatchObject({
      cause: { code: "admission", message: `Admit: ${body.message}` },
    });
    expect(control.requests).toHaveLength(2);
  });

  test.each([
    [{ app: "" }, "app: must not be empty"],
    [{ device: "a\nb" }, "device: must not hold control characters"],
    [{ user: "é".repeat(65) }, "user: must be at most 128 bytes"],
    [{ transports: [] }, "transports: must not be empty"],
  ])("an option that breaks a rule is named: %o", (wrong, message) => {
    const good = { admit: "http://127.0.0.1:1", app: "demo", device: "phone" };
    expect(() => connect({ ...good, ...wrong })).toThrow(message);
  });
});

describe("uplinks", () => {
  test("several businesses share a connection, and each gets its own messages", async () => {
    const { client, node } = await start();
    const seen: string[] = [];
    for (const name of ["chat", "orders"]) {
      client.business(name).on("message", ({ text }) => seen.push(`${name}: ${text}`));
    }
    const connection = await node.connection(1);
    await online(client);
    for (const business of ["orders", "chat", "other"]) {
      connection.send({
        case: "push",
        value: { message: { business, payload: { case: "text", value: "hi" } } },
      });
    }
    await client.business("echo").request({ text: "a frame after them" });
    expect(seen).toEqual(["orders: hi", "chat: hi"]);
  });

  test("a request gets the business server's reply, with everything it was sent with", async () => {
    const { client, node } = await start();
    const reply = await client
      .business("chat")
      .request({ text: "hi", metadata: { lang: "en" } }, { timeoutMs: 5_000 });
    expect(reply.text).toBe("hi");
    expect(node.connections[0]?.of("uplink")).toMatchObject([
      { business: "chat", metadata: { lang: "en" }, wantReply: true, retransmit: false },
    ]);
  });

  test("an uplink the business does not take is rejected with its status", async () => {
    const behaviour: Behaviour = (connection, body) => {
      if (body.case !== "uplink") return undefined;
      const { requestId } = body.value;
      const value = { requestId, status: UplinkStatus.BUSY, retryAfterMs: 700 };
      connection.send({ case: "uplinkAck", value });
      return "handled";
    };
    const { client } = await start({ behaviour });
    const sending = client.business("chat").send({ text: "hi" });
    await expect(sending).rejects.toMatchObject({
      code: "uplink",
      status: "BUSY",
      retryAfterMs: 700,
      message: 'business "chat": BUSY',
    });
  });

  test("a request the business refuses is rejected with the business server's words", async () => {
    const behaviour: Behaviour = (connection, body) => {
      if (body.case !== "uplink") return undefined;
      const { requestId } = body.value;
      const status = UplinkStatus.REFUSED;
      const payload = { case: "text", value: "the shop is closed" } as const;
      connection.send({ case: "uplinkAck", value: { requestId, status } });
      connection.send({ case: "uplinkReply", value: { requestId, status, payload } });
      return "handled";
    };
    const { client } = await start({ behaviour });
    await expect(client.business("shop").request({ text: "hi" })).rejects.toMatchObject({
      code: "uplink",
      status: "REFUSED",
      message: 'business "shop": REFUSED: the shop is closed',
    });
  });

  test("an uplink the gateway refuses is rejected with its code", async () => {
    const behaviour: Behaviour = (connection, body) => {
      if (body.case !== "uplink") return undefined;
      const { requestId } = body.value;
      connection.send({ case: "error", value: { code: 4007, reason: "too many", requestId } });
      return "handled";
    };
    const { client } = await start({ behaviour });
    await expect(client.business("chat").send({ text: "hi" })).rejects.toMatchObject({
      code: "refused",
      closeCode: 4007,
    });
  });

  test("an uplink nobody answers is rejected when its time is over", async () => {
    const { client } = await start({
      behaviour: (_, { case: kind }) => (kind === "uplink" ? "handled" : undefined),
    });
    const sending = client.business("chat").send({ text: "hi" }, { timeoutMs: 50 });
    await expect(sending).rejects.toMatchObject({ code: "timeout" });
  });

  test("a message longer than the gateway takes is rejected here and not sent", async () => {
    const { client, node } = await start();
    await online(client);
    const sending = client.business("chat").send({ text: "x".repeat(65_536) });
    await expect(sending).rejects.toMatchObject({ code: "invalid" });
    await client.business("chat").send({ text: "ok" });
    expect(node.connections[0]?.of("uplink")).toHaveLength(1);
  });

  test("what was not answered is sent again after a reconnect, marked, under its id", async () => {
    let mute = true;
    const { client, node } = await start({
      behaviour: (_, { case: kind }) => (kind === "uplink" && mute ? "handled" : undefined),
    });
    const sending = client.business("chat").send({ text: "hi" });
    const first = await node.connection(1);
    const { requestId } = await first.first("uplink");
    mute = false;
    first.cut();
    await sending;
    expect(await (await node.connection(2)).first("uplink")).toMatchObject({
      requestId,
      retransmit: true,
      business: "chat",
    });
  });

  test("what is sent while there is no connection goes out, unmarked, when there is one", async () => {
    const { client, node } = await start();
    await client.business("chat").send({ text: "early" });
    const uplink = await (await node.connection(1)).first("uplink");
    expect(uplink.retransmit).toBe(false);
  });
});

describe("the end of a connection", () => {
  test("logins are counted, so that an older one never pushes a newer one out", async () => {
    const { client, node } = await start();
    await online(client);
    node.connections[0]?.cut();
    const first = await (await node.connection(1)).first("login");
    const second = await (await node.connection(2)).first("login");
    expect(second.loginNumber).toBeGreaterThan(first.loginNumber);
  });

  test("a lost connection is continued: the login names it", async () => {
    const { client, node, statuses } = await start();
    await online(client);
    node.connections[0]?.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.resume).toMatchObject({ connectionId: "node-a.1", rooms: [] });
    await online(client);
    expect(statuses.map(({ state }) => state)).toEqual([
      "connecting",
      "online",
      "waiting",
      "connecting",
      "online",
    ]);
    expect(client.status).toMatchObject({ connectionId: "node-a.2", resumed: true });
  });

  test("the gateway's advice is followed: elsewhere, and not before the time", async () => {
    const other = cleanup.use(await FakeNode.start({ name: "node-b" }));
    const { client, node, control, statuses } = await start();
    await online(client);
    node.connections[0]?.close(4000, "draining", { afterMs: 60, endpoints: [other.url] });
    await other.connection(1);
    expect(statuses.find(({ state }) => state === "waiting")).toMatchObject({
      cause: { message: "draining", closeCode: 4000 },
    });
    const waiting = statuses.find((status) => status.state === "waiting");
    expect(waiting?.delayMs).toBeGreaterThanOrEqual(60);
    expect(control.requests).toHaveLength(1);
  });

  test("a bad token is replaced by a new one", async () => {
    const { client, node, control } = await start();
    await online(client);
    node.connections[0]?.close(4100, "the token has expired");
    const login = await (await node.connection(2)).first("login");
    expect(login.token).toBe("token-2");
    expect(control.requests).toHaveLength(2);
  });

  test("a client that shall stay away is closed, and says so to everybody who waits", async () => {
    const { client, node } = await start({
      behaviour: (_, { case: kind }) =>
        kind === "uplink" || kind === "join" ? "handled" : undefined,
    });
    const waiting = [client.business("chat").send({ text: "hi" }), client.join("lobby")];
    const connection = await node.connection(1);
    await connection.first("uplink");
    await connection.first("join");
    connection.close(4211, "the app closed the connection");
    for (const call of waiting) {
      await expect(call).rejects.toMatchObject({ code: "closed", closeCode: 4211 });
    }
    expect(client.status.state).toBe("closed");
    await expect(client.join("lobby")).rejects.toMatchObject({ closeCode: 4211 });
    await expect(client.business("chat").send({ text: "hi" })).rejects.toMatchObject({
      closeCode: 4211,
    });
  });

  test.each([
    ["bytes that are no frame", Uint8Array.of(255, 255, 255)],
    ["text on a binary connection", "hello"],
  ])("%s end the connection, and the client connects again", async (_what, garbage) => {
    const { client, node, statuses } = await start();
    await online(client);
    node.connections[0]?.sendRaw(garbage);
    await node.connection(2);
    await online(client);
    const waiting = statuses.find((status) => status.state === "waiting");
    expect(waiting?.cause).toBeInstanceOf(HoldfastSdkError);
    expect(waiting?.cause.message).toContain("the gateway sent what is no frame");
    await eventually("the old link is gone", () => node.connections[0]?.ended);
  });

  test("frames this build does not know are passed over", async () => {
    const { client, node } = await start();
    await online(client);
    // Field 99, as a newer gateway might send.
    node.connections[0]?.sendRaw(Uint8Array.of(0x9a, 0x06, 0x00));
    await client.business("echo").request({ text: "still here" });
    expect(node.connections).toHaveLength(1);
  });

  test("a connection that answers no login is given up", async () => {
    let mute = true;
    const behaviour: Behaviour = (_, { case: kind }) =>
      kind === "login" && mute ? "handled" : undefined;
    const { client, node } = await start({ behaviour }, { loginTimeoutMs: 30 });
    await node.connection(1);
    mute = false;
    await node.connection(2);
    await online(client);
  });

  test("closing logs out, and every call after it is rejected", async () => {
    const { client, node } = await start();
    await online(client);
    await client.close();
    expect(node.connections[0]?.of("logout")).toHaveLength(1);
    expect(client.status).toMatchObject({
      state: "closed",
      cause: { message: "closed by the application" },
    });
    await expect(client.business("chat").send({ text: "hi" })).rejects.toMatchObject({
      code: "closed",
    });
    await client.close();
  });

  test("a client closed before it was connected never connects", async () => {
    const { control } = await start();
    const before = control.requests.length;
    const { client } = open(control, { device: "other" });
    await client.close();
    expect(client.status.state).toBe("closed");
    expect(control.requests.length).toBe(before);
  });
});

describe("a node that is emptied", () => {
  test("is left for another without a moment offline", async () => {
    const other = cleanup.use(await FakeNode.start({ name: "node-b" }));
    const { client, node, statuses } = await start();
    await online(client);
    const old = await node.connection(1);
    old.send({ case: "drain", value: { withinMs: 100, reconnect: { endpoints: [other.url] } } });
    const login = await (await other.connection(1)).first("login");
    expect(login.resume?.connectionId).toBe("node-a.1");
    await eventually("the old connection is closed", () => old.ended);
    expect(
      statuses.map((status) => (status.state === "online" ? status.node : status.state)),
    ).toEqual(["connecting", "node-a", "node-b"]);
    expect(await client.business("echo").request({ text: "hi" })).toMatchObject({ text: "hi" });
    expect(other.connections[0]?.of("uplink")).toHaveLength(1);
  });

  test("is left for one of those that Admit names now, when it gives no advice", async () => {
    const other = cleanup.use(await FakeNode.start({ name: "node-b" }));
    const { client, node, control } = await start();
    await online(client);
    control.nodes = [other];
    (await node.connection(1)).send({ case: "drain", value: { withinMs: 0 } });
    await other.connection(1);
    await eventually(
      "moved",
      () => client.status.state === "online" && client.status.node === "node-b",
    );
  });

  test("a new connection id on the same connection is taken silently", async () => {
    const { client, node, statuses } = await start();
    await online(client);
    const connection = await node.connection(1);
    connection.send({
      case: "welcome",
      value: { connectionId: "node-a2.1", node: "node-a2", heartbeatSeconds: 30 },
    });
    await client.business("echo").request({ text: "a frame after it" });
    expect(client.status).toMatchObject({
      state: "online",
      connectionId: "node-a2.1",
      node: "node-a2",
    });
    expect(statuses).toHaveLength(2);
    connection.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.resume?.connectionId).toBe("node-a2.1");
  });
});
