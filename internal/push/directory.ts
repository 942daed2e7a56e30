import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  DeviceSchema,
  DirectoryService,
  ListNodesResponseSchema,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import type { Route } from "../../streams/records.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { CLOSE } from "../status/close.ts";
import type { Gate } from "./gate.ts";
import type { MessageHistory } from "./message-history.ts";
import type { Orders } from "./orders.ts";
import type { PartitionOwners } from "./owners.ts";
import type { Resolver } from "./resolver.ts";
import type { Rooms } from "./rooms.ts";

export interface DirectoryOptions {
  gate: Gate;
  resolver: Resolver;
  owners: PartitionOwners;
  rooms: Rooms;
  orders: Orders;
  nodes: NodeRegistry;
  messages: MessageHistory;
}

export function createDirectoryService(
  options: DirectoryOptions,
): ServiceImpl<typeof DirectoryService> {
  const { gate, resolver, owners, rooms, orders, nodes, messages } = options;

  const enter = (request: { app: string }, context: HandlerContext, targets: string[] = []) =>
    gate.enter(request.app, context, { targets });

  return {
    async getDevices(request, context) {
      enter(request, context, request.devices);
      const routes = await resolver.routesOf(request.app, request.devices);
      return { devices: request.devices.map((device, i) => describe(device, routes[i])) };
    },

    async getUsers(request, context) {
      enter(request, context, request.users);
      const routes = await resolver.routesOfUsers(request.app, request.users);
      return {
        users: request.users.map((user, i) => {
          const own = routes[i] ?? [];
          return {
            user,
            online: own.some((route) => route.online),
            devices: own.map((route) => describe(route.device, route)),
          };
        }),
      };
    },

    async getRooms(request, context) {
      enter(request, context, request.rooms);
      return rooms.get(request);
    },

    async listRoomMembers(request, context) {
      enter(request, context, [request.room]);
      return rooms.members(request);
    },

    async listNodes(request, context) {
      enter(request, context);
      return listNodes(request.app, nodes, owners);
    },

    async kickDevices(request, context) {
      enter(request, context, request.devices);
      const { code, text } = CLOSE.kicked;
      const reason = request.reason === "" ? text : request.reason;
      const results = await orders.give(request.app, request.devices, (connection) => ({
        case: "kick",
        value: { connection, code, reason },
      }));
      return { results };
    },

    async joinRoom(request, context) {
      enter(request, context, [request.room, ...request.devices]);
      const results = await orders.give(request.app, request.devices, (connection) => ({
        case: "setRooms",
        value: { connection, join: [request.room] },
      }));
      return { results };
    },

    async leaveRoom(request, context) {
      enter(request, context, [request.room, ...request.devices]);
      const results = await orders.give(request.app, request.devices, (connection) => ({
        case: "setRooms",
        value: { connection, leave: [request.room] },
      }));
      return { results };
    },

    async setRoom(request, context) {
      enter(request, context, [request.room]);
      await rooms.set(request);
      return {};
    },

    async getMessage(request, context) {
      enter(request, context);
      return { deliveries: await messages.of(request.app, request.messageId) };
    },
  };
}

function describe(device: string, route: Route | undefined): MessageInitShape<typeof DeviceSchema> {
  if (route === undefined) return { device, known: false, online: false };
  return {
    device,
    known: true,
    online: route.online,
    user: route.user,
    node: route.node,
    connectionId: route.connection,
    platform: route.platform,
    appVersion: route.appVersion,
    since: timestampFromMs(route.since),
    lastSeen: timestampFromMs(route.lastSeen),
    rooms: route.rooms,
    offlineReason: route.reason,
  };
}

async function listNodes(
  app: string,
  nodes: NodeRegistry,
  owners: PartitionOwners,
): Promise<MessageInitShape<typeof ListNodesResponseSchema>> {
  const answers = await owners.askExactly({ case: "nodes", value: { app } }, owners.all);
  const connectionsOf = (incarnation: string) =>
    answers.reduce((sum, answer) => sum + (answer.nodeConnections[incarnation] ?? 0), 0);
  return {
    nodes: nodes.list().map((beat) => ({
      node: beat.incarnation,
      name: beat.name,
      connections: connectionsOf(beat.incarnation),
      draining: beat.draining,
      startedAt: timestampFromMs(Number(beat.startedAtMs)),
      endpoints: beat.endpoints.map(({ url }) => url),
      version: beat.version,
    })),
  };
}
