import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { MessageSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { eventually } from "../support/eventually.ts";
import type { Behaviour, FakeConnection } from "./fake-gateway.ts";
import { online, start } from "./started-client.ts";

function pushToRoom(connection: FakeConnection, room: string, position: bigint): void {
  const message = { business: "chat", room, position, messageId: `${room}-${position}` };
  connection.send({ case: "push", value: { message } });
}

function mustArrive(connection: FakeConnection, deliverySequence: bigint): void {
  const message = { business: "chat", deliverySequence, messageId: `m${deliverySequence}` };
  connection.send({ case: "push", value: { message } });
}

describe("rooms", () => {
  test("a client gets a room's messages while it is in the room", async () => {
    const { client, node } = await start();
    const lobby = await client.join("lobby");
    const positions: bigint[] = [];
    lobby.on("message", ({ position }) => positions.push(position));
    const connection = await node.connection(1);
    pushToRoom(connection, "lobby", 3n);
    pushToRoom(connection, "elsewhere", 4n);
    await client.business("echo").request({ text: "a frame after them" });
    await lobby.leave();
    pushToRoom(connection, "lobby", 5n);
    await client.business("echo").request({ text: "a frame after it" });
    expect(positions).toEqual([3n]);
    expect(lobby.position).toBe(3n);
  });

  test("rooms are joined again after a reconnect, from the last position, but not those left", async () => {
    const { client, node } = await start();
    const lobby = await client.join("lobby");
    const left = await client.join("left");
    const rejoined: boolean[] = [];
    lobby.on("joined", ({ recovered }) => rejoined.push(recovered));
    const first = await node.connection(1);
    pushToRoom(first, "lobby", 41n);
    await left.leave();
    first.cut();
    const second = await node.connection(2);
    const login = await second.first("login");
    expect(login.resume?.rooms).toMatchObject([{ room: "lobby", position: 41n }]);
    await eventually("joined again", () => rejoined.length > 0);
    expect(rejoined).toEqual([true]);
    expect(second.of("join")).toEqual([]);
  });

  test("rooms are joined one by one when the gateway did not resume the connection", async () => {
    const { client, node } = await start();
    await client.join("lobby");
    node.behaviour = (connection, { case: kind }) => {
      if (kind !== "login") return undefined;
      node.welcome(connection, false);
      return "handled";
    };
    node.connections[0]?.cut();
    expect(await (await node.connection(2)).first("join")).toMatchObject({ room: "lobby" });
  });

  test("a room joined before there is a connection is joined with it", async () => {
    const { client } = await start();
    expect((await client.join("lobby")).name).toBe("lobby");
  });

  test("a refused room says why, and is not asked for again", async () => {
    const behaviour: Behaviour = (connection, body) => {
      if (body.case !== "join") return undefined;
      const { room } = body.value;
      connection.send({ case: "error", value: { code: 4202, reason: "members only", room } });
      return "handled";
    };
    const { client, node } = await start({ behaviour });
    await expect(client.join("club")).rejects.toMatchObject({
      code: "refused",
      message: "members only",
    });
    node.connections[0]?.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.resume?.rooms).toEqual([]);
  });

  test("a business server can put a device into a room, and take it out", async () => {
    const { client, node } = await start();
    await online(client);
    const connection = await node.connection(1);
    connection.send({ case: "joined", value: { room: "vip" } });
    await client.business("echo").request({ text: "a frame after it" });
    const vip = await client.join("vip");
    let left = 0;
    vip.on("left", () => {
      left += 1;
    });
    connection.send({ case: "left", value: { room: "vip" } });
    await eventually("left", () => left === 1);
    connection.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.resume?.rooms).toEqual([]);
  });

  test("a bad room name is refused before it is sent", async () => {
    const { client, node } = await start();
    await online(client);
    await expect(client.join("")).rejects.toMatchObject({ code: "invalid" });
    expect(node.connections[0]?.of("join")).toEqual([]);
  });
});

describe("must-arrive messages", () => {
  test("are acknowledged when handled, once to the application, and known at the next login", async () => {
    const { client, node, messages } = await start();
    const connection = await node.connection(1);
    await online(client);
    mustArrive(connection, 7n);
    mustArrive(connection, 9n);
    await connection.first("ack");
    mustArrive(connection, 7n);
    mustArrive(connection, 9n);
    await eventually("acknowledged again", () => connection.of("ack").length >= 2);
    expect(messages.map(({ id }) => id)).toEqual(["m7", "m9"]);
    connection.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.lastDeliverySequence).toBe(9n);
  });

  test("a failing handler is reported, and its message is taken when it comes again", async () => {
    const { client, node, errors } = await start();
    let calls = 0;
    client.business("chat").on("message", async () => {
      calls += 1;
      if (calls === 1) throw new Error("disk full");
    });
    const connection = await node.connection(1);
    await online(client);
    mustArrive(connection, 7n);
    await eventually("reported", () => errors.length === 1);
    expect(errors).toMatchObject([{ message: "disk full" }]);
    expect(connection.of("ack")).toEqual([]);
    mustArrive(connection, 7n);
    expect(await connection.first("ack")).toMatchObject({ deliverySequence: 7n });
  });
});

describe("batches", () => {
  test("every message of a batch arrives, in order", async () => {
    const { client, node, messages } = await start();
    await online(client);
    const writer = new BinaryWriter();
    for (const messageId of ["a", "b", "c"]) {
      writer.bytes(toBinary(MessageSchema, create(MessageSchema, { messageId })));
    }
    const value = { encoding: "", count: 3, data: writer.finish() };
    node.connections[0]?.send({ case: "batch", value });
    await eventually("three messages", () => messages.length === 3);
    expect(messages.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  });

  test("a batch that cannot be read ends the connection, and the client connects again", async () => {
    const { client, node } = await start();
    await online(client);
    const value = { encoding: "", count: 1, data: Uint8Array.of(200) };
    node.connections[0]?.send({ case: "batch", value });
    await node.connection(2);
    await online(client);
  });
});

test("a message says everything that was sent with it", async () => {
  const { client, node, messages } = await start();
  await online(client);
  node.connections[0]?.send({
    case: "push",
    value: {
      message: {
        messageId: "m1",
        business: "chat",
        payload: { case: "data", value: Uint8Array.of(1, 2) },
        metadata: { from: "bob" },
        priority: 1,
        sentAt: { seconds: 1_700_000_000n, nanos: 500_000_000 },
      },
    },
  });
  await eventually("a message", () => messages.length === 1);
  expect(messages[0]).toEqual({
    id: "m1",
    business: "chat",
    room: undefined,
    text: undefined,
    data: Uint8Array.of(1, 2),
    metadata: { from: "bob" },
    priority: "high",
    position: 0n,
    deliverySequence: 0n,
    sentAt: new Date(1_700_000_000_500),
  });
});
