/** The SDK on the gateway's own access node, over every transport and encoding. */
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLOSE } from "../../internal/status/close.ts";
import { HandleUplinkResponseSchema } from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import {
  connect,
  type HoldfastClient,
  jsonEncoding,
  type Message,
  type Status,
  type Transport,
  webSocket,
} from "../../sdk/index.ts";
import { tcp } from "../../sdk/node-tcp.ts";
import type { Link } from "../../sdk/transport.ts";
import { rpcSubject } from "../../streams/subjects.ts";
import { tokenOf } from "../access/fakes.ts";
import { startNode, type TestNode } from "../access/node.ts";
import { drain, kick, setRooms } from "../access/orders.ts";
import { register } from "../access/uplink/businesses.ts";
import { eventually } from "../support/eventually.ts";
import { patient } from "../support/patience.ts";

const LOBBY = { kind: "room", app: "shop", id: "lobby" } as const;

describe.each([
  ["WebSocket", { transports: [webSocket] }],
  ["WebSocket with JSON", { transports: [webSocket], encoding: jsonEncoding }],
  ["TCP", { transports: [tcp] }],
])("over %s", (_name, how) => {
  let at: TestNode;
  /** The node's. */
  let random: () => number;
  let started: TestNode[];
  /** Those that Admit names. */
  let live: TestNode[];
  let client: HoldfastClient;
  let statuses: Status[];
  let messages: Message[];
  let links: Link[];

  beforeEach(async () => {
    random = Math.random;
    at = await startNode({ random: () => random() });
    for (const business of ["chat", "closed", "none"]) await register(at, business, {});
    await register(at, "log", { mode: "stream" });
    started = [at];
    live = [at];
    statuses = [];
    messages = [];
    links = [];
    client = connect({
      admit: async () => ({
        token: tokenOf({ app: "shop", device: "phone", user: "ann" }),
        endpoints: live.flatMap(({ node }) => node.endpoints()),
      }),
      backoff: { baseMs: 20, capMs: 100 },
      ...how,
      transports: how.transports.map((transport) => watched(transport)),
    });
    client.on("status", (status) => statuses.push(status));
    client.on("message", (message) => void messages.push(message));
    await online();
  });

  afterEach(async () => {
    await client.close();
    for (const node of started) await node[Symbol.asyncDispose]();
  });

  /** The transport, its links within reach of the test. */
  function watched(transport: Transport): Transport {
    return {
      accepts: transport.accepts,
      open(...asked) {
        const link = transport.open(...asked);
        links.push(link);
        return link;
      },
    };
  }

  const online = () => eventually("online", () => client.status.state === "online");
  const texts = () => messages.map(({ text }) => text);

  function counter(): bigint {
    if (client.status.state !== "online") throw new Error(client.status.state);
    const { connectionId } = client.status;
    return BigInt(connectionId.slice(connectionId.lastIndexOf(".") + 1));
  }

  test("a request is answered by the business server, or refused in its words", async () => {
    at.messages.subscribe(rpcSubject("shop", "chat"), (message) => {
      const answer = { payload: { case: "text", value: "pong" } } as const;
      message.respond(
        toBinary(HandleUplinkResponseSchema, create(HandleUplinkResponseSchema, answer)),
      );
    });
    at.messages.subscribe(rpcSubject("shop", "closed"), (message) => {
      const answer = create(HandleUplinkResponseSchema, { refused: "not today" });
      message.respond(toBinary(HandleUplinkResponseSchema, answer));
    });
    expect(await client.business("chat").request({ text: "ping" })).toMatchObject({ text: "pong" });
    await expect(client.business("closed").request({ text: "ping" })).rejects.toMatchObject({
      status: "REFUSED",
      message: 'business "closed": REFUSED: not today',
    });
    await expect(client.business("none").request({ text: "ping" })).rejects.toMatchObject({
      status: "UNAVAILABLE",
    });
    await client.business("log").send({ data: Uint8Array.of(1, 2, 3), metadata: { k: "v" } });
    expect(at.appender.appended).toHaveLength(1);
  });

  test("what a room missed during a reconnect is replayed", async () => {
    const lobby = await client.join("lobby");
    at.stream.publish(LOBBY, "before");
    await eventually("the first message", () => messages.length === 1);
    const rejoined: boolean[] = [];
    lobby.on("joined", ({ recovered }) => rejoined.push(recovered));
    links[0]?.close();
    await eventually("the node has let go", () => at.log.ends("phone").length === 1);
    at.stream.publish(LOBBY, "between");
    await eventually("joined again", () => rejoined.length === 1);
    at.stream.publish(LOBBY, "after");
    await eventually("three messages", () => messages.length === 3);
    expect(texts()).toEqual(["before", "between", "after"]);
    expect(rejoined).toEqual([true]);
    expect(client.status).toMatchObject({ resumed: true });
  });

  test("a business server puts the device into a room and takes it out", async () => {
    at.log.events.order(setRooms(counter(), { join: ["lobby"] }));
    const lobby = await client.join("lobby");
    at.stream.publish(LOBBY, "hello");
    await eventually("a message", () => messages.length === 1);
    let left = 0;
    lobby.on("left", () => {
      left += 1;
    });
    at.log.events.order(setRooms(counter(), { leave: ["lobby"] }));
    await eventually("left", () => left === 1);
    expect(at.log.rooms("phone")).toEqual([]);
  });

  test("a new incarnation of the node goes unnoticed, but for the id", async () => {
    at.log.incarnation = "test-2";
    at.log.events.incarnationChanged("test-2");
    await eventually("the new id", () => {
      return client.status.state === "online" && client.status.node === "test-2";
    });
    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "online"]);
    expect(links).toHaveLength(1);
  });

  test("a drained node is left for another without a moment offline", async () => {
    await client.join("lobby");
    const other = await startNode();
    other.log.incarnation = "other-1";
    started.push(other);
    live = [other];
    // The client has all of the time that there is; it leaves in the first half.
    random = () => 1;
    at.log.events.order(drain(patient(1_000)));
    await eventually("moved", () => {
      return client.status.state === "online" && client.status.node === "other-1";
    });
    expect(statuses.map(({ state }) => state)).toEqual(["connecting", "online", "online"]);
    await eventually("in its room there", () => other.log.rooms("phone")?.length === 1);
    await eventually("the old connection has ended", () => at.log.ends("phone").length === 1);
  });

  test("a kicked client stays away", async () => {
    at.log.events.order(kick(counter(), CLOSE.kicked.code));
    await eventually("closed", () => client.status.state === "closed");
    expect(client.status).toMatchObject({ cause: { closeCode: CLOSE.kicked.code } });
    expect(links).toHaveLength(1);
  });

  test("a client that closes has logged out", async () => {
    await client.close();
    await eventually("the log knows", () => at.log.ends("phone").length === 1);
    expect(at.log.ends("phone")).toEqual(["logout"]);
  });

  test("a long message arrives, and one that no frame can hold is refused here", async () => {
    await client.business("log").send({ text: "x".repeat(65_000) });
    const sending = client.business("log").send({ text: "x".repeat(65_536) });
    await expect(sending).rejects.toMatchObject({ code: "invalid" });
    expect(client.status.state).toBe("online");
    expect(links).toHaveLength(1);
  });
});
