import { brotliCompressSync, deflateSync, zstdCompressSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { MessageSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { eventually } from "../support/eventually.ts";
import type { Behaviour, FakeConnection } from "./fake-gateway.ts";
import { online, open, start } from "./started-client.ts";

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

  test("a message that comes again, by this link or another, is given once", async () => {
    const { client, node, messages } = await start();
    await client.join("lobby");
    const first = await node.connection(1);
    for (const position of [41n, 42n, 41n, 42n, 43n]) pushToRoom(first, "lobby", position);
    await eventually("three came", () => messages.length === 3);
    first.cut();
    const second = await node.connection(2);
    await second.first("login");
    for (const position of [42n, 43n, 44n]) pushToRoom(second, "lobby", position);
    await eventually("the new one came", () => messages.length === 4);
    expect(messages.map(({ position }) => position)).toEqual([41n, 42n, 43n, 44n]);
  });

  test("what cannot be recovered is told, with its place and as far as it is known", async () => {
    const { client, node } = await start();
    const lobby = await client.join("lobby");
    const ofRoom: unknown[] = [];
    const all: unknown[] = [];
    lobby.on("gap", (gap) => ofRoom.push(gap));
    client.on("gap", (gap) => all.push(gap));
    const connection = await node.connection(1);
    pushToRoom(connection, "lobby", 41n);
    const joined = { room: "lobby", position: 60n, epoch: 2n, recovered: false };
    connection.send({ case: "joined", value: joined });
    const skipped = { room: "lobby", after: 60n, upTo: 70n, count: 3 };
    connection.send({ case: "skipped", value: skipped });
    const standing = { zone: "north", position: 5n, epoch: 2n };
    connection.send({ case: "standing", value: standing });
    connection.send({ case: "standing", value: { ...standing, position: 9n } });
    await eventually("all are told", () => all.length === 3);
    expect(ofRoom).toEqual([
      { after: 41n, upTo: 60n, count: undefined },
      { after: 60n, upTo: 70n, count: 3 },
    ]);
    expect(all.at(-1)).toEqual({
      after: 5n,
      upTo: 9n,
      count: undefined,
      room: undefined,
      zone: "north",
    });
    connection.cut();
    const login = await (await node.connection(2)).first("login");
    expect(login.resume).toMatchObject({
      rooms: [{ room: "lobby", position: 60n, epoch: 2n }],
      standings: [{ zone: "north", position: 9n, epoch: 2n }],
    });
  });

  test("a room left while the login is on its way is left", async () => {
    const { client, node } = await start();
    const lobby = await client.join("lobby");
    const left: string[] = [];
    const held: FakeConnection[] = [];
    node.behaviour = (connection, { case: kind }) => {
      if (kind !== "login") return undefined;
      held.push(connection);
      return "handled";
    };
    node.connections[0]?.cut();
    await eventually("it logs in", () => held.length === 1);
    await lobby.leave();
    const [connection] = held;
    if (connection === undefined) throw new Error("no login");
    node.welcome(connection, true);
    connection.send({ case: "joined", value: { room: "lobby", position: 1n, recovered: true } });
    left.push((await connection.first("leave")).room);
    expect(left).toEqual(["lobby"]);
    await client.business("echo").request({ text: "a frame after it" });
    connection.cut();
    node.behaviour = undefined;
    const login = await (await node.connection(3)).first("login");
    expect(login.resume?.rooms).toEqual([]);
  });

  test("where the client stood is kept over restarts when the application wants it", async () => {
    let kept: string | undefined;
    const positions = {
      load: async () => kept,
      save: async (text: string) => {
        kept = text;
      },
    };
    const { client, node, control } = await start({}, { positions });
    await client.join("lobby");
    const connection = await node.connection(1);
    connection.send({ case: "standing", value: { zone: "", position: 30n, epoch: 7n } });
    pushToRoom(connection, "lobby", 41n);
    await client.business("echo").request({ text: "a frame after it" });
    await client.close();
    const { client: again } = open(control, { positions });
    const lobby = await again.join("lobby");
    expect(lobby.position).toBe(41n);
    const second = await node.connection(2);
    expect((await second.first("login")).resume).toMatchObject({
      connectionId: "",
      standings: [{ zone: "", position: 30n, epoch: 7n }],
    });
    expect(await second.first("join")).toMatchObject({ room: "lobby", position: 41n });
  });

  test("compressed batches are offered for, and read in order", async () => {
    const { client, node, messages } = await start();
    await client.join("lobby");
    const connection = await node.connection(1);
    const { encodings } = await connection.first("login");
    expect(encodings.toSorted()).toEqual(["br", "identity", "zlib", "zstd"]);
    const pack = { zlib: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync };
    let position = 0n;
    for (const [encoding, compress] of Object.entries(pack)) {
      const writer = new BinaryWriter();
      for (let i = 0; i < 3; i += 1) {
        position += 1n;
        writer.bytes(toBinary(MessageSchema, create(MessageSchema, { room: "lobby", position })));
      }
      const data = compress(writer.finish());
      connection.send({ case: "batch", value: { encoding, count: 3, data } });
    }
    pushToRoom(connection, "lobby", 10n);
    await eventually("all came", () => messages.length === 10);
    expect(messages.map((message) => message.position)).toEqual(
      Array.from({ length: 10 }, (_, i) => BigInt(i + 1)),
    );
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
