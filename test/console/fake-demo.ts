/**
 * The demo page with a gateway that is only played: one fake access node, and the push API and
 * directory acting on its connections. The page's own code, its server and the SDK are the real ones.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { createDemoApi } from "../../console/demo-api.ts";
import { handleChatLine } from "../../console/demo-chat.ts";
import type { DemoClients } from "../../console/demo-clients.ts";
import { consolePages } from "../../console/site.ts";
import { HandleUplinkRequestSchema } from "../../proto/gen/holdfast/business/v1/business_pb.ts";
import {
  GetDevicesResponseSchema,
  ListRoomMembersResponseSchema,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import {
  BroadcastResponseSchema,
  MessageSchema,
  PushToDevicesResponseSchema,
  PushToRoomsResponseSchema,
  PushToUsersResponseSchema,
  Status,
} from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { Message_Priority, UplinkStatus } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type ClientBody, type FakeConnection, FakeNode } from "../sdk/fake-gateway.ts";

const PRIORITIES = [Message_Priority.NORMAL, Message_Priority.HIGH, Message_Priority.LOW];

interface Identity {
  app: string;
  device: string;
  user: string;
}

export interface FakeDemo extends AsyncDisposable {
  readonly url: string;
  readonly node: FakeNode;
}

export async function startFakeDemo(port = 0): Promise<FakeDemo> {
  const devices = new Devices();
  const node = await FakeNode.start({
    name: "node-a-m1x9k2",
    behaviour: (connection, body) => behave(devices, clients.push, connection, body),
  });
  const clients = fakeClients(devices);
  let pages: ReturnType<typeof consolePages> | undefined;
  const server = createServer(async (request, response) => {
    if (!request.url?.endsWith("/Admit")) {
      pages?.(request, response);
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const identity = JSON.parse(Buffer.concat(chunks).toString()) as Identity;
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        token: JSON.stringify(identity),
        expiresAt: new Date(Date.now() + 600_000).toISOString(),
        endpoints: [{ url: node.url, protocol: "websocket", weight: 100 }],
      }),
    );
  });
  await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  pages = consolePages(
    createDemoApi({ app: "demo", pushUrl: "http://127.0.0.1:8090", ...clients }),
  );
  return {
    url,
    node,
    async [Symbol.asyncDispose]() {
      await node[Symbol.asyncDispose]();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Who is connected, and in which rooms. */
class Devices {
  readonly #identities = new Map<FakeConnection, Identity>();
  readonly #rooms = new Map<FakeConnection, Set<string>>();
  #position = 0n;

  add(connection: FakeConnection, identity: Identity): void {
    this.#identities.set(connection, identity);
    this.#rooms.set(connection, new Set());
  }

  roomsOf(connection: FakeConnection): Set<string> {
    return this.#rooms.get(connection) ?? new Set();
  }

  get online(): [FakeConnection, Identity][] {
    return [...this.#identities].filter(([connection]) => !connection.ended);
  }

  identityOf(connection: FakeConnection): Identity {
    return this.#identities.get(connection) ?? { app: "", device: "", user: "" };
  }

  /** Sends to the connections that match. Returns to how many. */
  send(
    init: MessageInitShape<typeof MessageSchema> | undefined,
    priority: number | undefined,
    matches: (connection: FakeConnection, identity: Identity) => boolean,
    room = "",
  ): number {
    const targets = this.online.filter(([connection, identity]) => matches(connection, identity));
    this.#position += 1n;
    const { business, payload, metadata } = create(MessageSchema, init);
    for (const [connection] of targets) {
      connection.send({
        case: "push",
        value: {
          message: {
            messageId: `m${this.#position}`,
            business,
            payload,
            metadata,
            room,
            priority: PRIORITIES[priority ?? 0] ?? Message_Priority.NORMAL,
            position: room === "" ? 0n : this.#position,
            sentAt: timestampNow(),
          },
        },
      });
    }
    return targets.length;
  }
}

function behave(
  devices: Devices,
  push: DemoClients["push"],
  connection: FakeConnection,
  body: ClientBody,
): "handled" | undefined {
  switch (body.case) {
    case "login": {
      devices.add(connection, JSON.parse(body.value.token) as Identity);
      for (const { room } of body.value.resume?.rooms ?? []) devices.roomsOf(connection).add(room);
      return undefined;
    }
    case "join":
      devices.roomsOf(connection).add(body.value.room);
      return undefined;
    case "leave":
      devices.roomsOf(connection).delete(body.value.room);
      return undefined;
    case "uplink": {
      const { requestId, payload, metadata, business } = body.value;
      const uplink = create(HandleUplinkRequestSchema, {
        ...devices.identityOf(connection),
        requestId,
        business,
        payload,
        metadata,
      });
      void handleChatLine(uplink, push).then(({ refused, payload: answer }) => {
        const status = refused === "" ? UplinkStatus.OK : UplinkStatus.REFUSED;
        const words = refused === "" ? answer : { case: "text" as const, value: refused };
        connection.send({ case: "uplinkAck", value: { requestId, status } });
        connection.send({ case: "uplinkReply", value: { requestId, status, payload: words } });
      });
      return "handled";
    }
    default:
      return undefined;
  }
}

function fakeClients(devices: Devices): DemoClients {
  const status = (sent: number) => (sent > 0 ? Status.SENT : Status.UNKNOWN);
  const messageId = () => `m-${Date.now().toString(36)}`;
  return {
    push: {
      async pushToDevices({ devices: ids = [], message, options }) {
        const results = ids.map((target) => {
          const sent = devices.send(
            message,
            options?.priority,
            (_, { device }) => device === target,
          );
          return { target, status: status(sent) };
        });
        return create(PushToDevicesResponseSchema, { messageId: messageId(), results });
      },
      async pushToUsers({ users = [], message, options }) {
        const results = users.map((target) => {
          const sent = devices.send(message, options?.priority, (_, { user }) => user === target);
          return { target, status: status(sent), devices: sent };
        });
        return create(PushToUsersResponseSchema, { messageId: messageId(), results });
      },
      async pushToRooms({ rooms = [], message, options }) {
        const results = rooms.map((target) => {
          const inRoom = (connection: FakeConnection) => devices.roomsOf(connection).has(target);
          devices.send(message, options?.priority, inRoom, target);
          return { target, status: Status.SENT };
        });
        return create(PushToRoomsResponseSchema, { messageId: messageId(), results });
      },
      async broadcast({ message, options }) {
        devices.send(message, options?.priority, () => true);
        const results = [{ target: "", status: Status.SENT }];
        return create(BroadcastResponseSchema, { messageId: messageId(), results });
      },
    },
    directory: {
      async listRoomMembers({ room = "" }) {
        const members = devices.online
          .filter(([connection]) => devices.roomsOf(connection).has(room))
          .map(([, { device, user }]) => ({ device, user }));
        return create(ListRoomMembersResponseSchema, { members });
      },
      async getDevices({ devices: ids = [] }) {
        const found = devices.online.filter(([, { device }]) => ids.includes(device));
        return create(GetDevicesResponseSchema, {
          devices: found.map(([connection, { device, user }]) => ({
            device,
            user,
            online: true,
            node: connection.node.name,
            connectionId: connection.id,
            platform: "web",
            rooms: [...devices.roomsOf(connection)],
            since: timestampNow(),
          })),
        });
      },
    },
  };
}
