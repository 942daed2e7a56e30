/**
 * What the demo page asks of the server it came from, so that the API key never reaches a browser:
 *
 *     GET  /demo/config   → { app, lobby, pushUrl }
 *     GET  /demo/devices  → { devices: [{ device, user, node, connectionId, platform, since, rooms }] }
 *     POST /demo/push     { device | user | room | all, text, priority? }
 *                         → the push API's own answer
 */
import { toJson } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { z } from "zod";
import {
  BroadcastResponseSchema,
  Priority,
  PushToDevicesResponseSchema,
  PushToRoomsResponseSchema,
  PushToUsersResponseSchema,
} from "../proto/gen/holdfast/push/v1/push_pb.ts";
import { CHAT } from "./demo-chat.ts";
import type { DemoClients } from "./demo-clients.ts";

/** The room that every page is in, and so the list of who has one open. */
const LOBBY = "lobby";
const MOST_DEVICES = 200;

export interface DemoApiOptions extends DemoClients {
  app: string;
  /** Where the push API is, for people to call it themselves. */
  pushUrl: string;
}

export interface ApiAnswer {
  status: number;
  body: unknown;
}

export interface DemoApi {
  /** Undefined when the path is none of this API's. */
  handle(method: string, path: string, body: unknown): Promise<ApiAnswer> | undefined;
}

const PRIORITIES = { NORMAL: Priority.NORMAL, HIGH: Priority.HIGH, LOW: Priority.LOW };

const id = z.string().min(1).max(128);
const common = {
  text: z.string().min(1).max(2_000),
  priority: z.enum(["NORMAL", "HIGH", "LOW"]).default("NORMAL"),
};
const PushOrder = z.union(
  [
    z.strictObject({ device: id, ...common }),
    z.strictObject({ user: id, ...common }),
    z.strictObject({ room: id, ...common }),
    z.strictObject({ all: z.literal(true), ...common }),
  ],
  "must be { device | user | room | all, text, priority? }",
);

export function createDemoApi(options: DemoApiOptions): DemoApi {
  const { app, pushUrl } = options;
  return {
    handle(method, path, body) {
      switch (`${method} ${path}`) {
        case "GET /demo/config":
          return Promise.resolve({ status: 200, body: { app, lobby: LOBBY, pushUrl } });
        case "GET /demo/devices":
          return answered(() => listDevices(options));
        case "POST /demo/push":
          return answered(() => push(options, body));
        default:
          return undefined;
      }
    },
  };
}

/** What fails behind this API is told with its own words; these are developers. */
async function answered(work: () => Promise<unknown>): Promise<ApiAnswer> {
  try {
    return { status: 200, body: await work() };
  } catch (error) {
    if (error instanceof z.ZodError) {
      return { status: 400, body: { error: z.prettifyError(error) } };
    }
    return { status: 502, body: { error: ConnectError.from(error).message } };
  }
}

async function listDevices({ app, directory }: DemoApiOptions): Promise<unknown> {
  const { members } = await directory.listRoomMembers({ app, room: LOBBY, pageSize: MOST_DEVICES });
  if (members.length === 0) return { devices: [] };
  const { devices } = await directory.getDevices({
    app,
    devices: members.map(({ device }) => device),
  });
  return {
    devices: devices
      .filter(({ online }) => online)
      .map(({ device, user, node, connectionId, platform, since, rooms }) => ({
        device,
        user,
        node,
        connectionId,
        platform,
        rooms,
        since: since === undefined ? null : timestampMs(since),
      })),
  };
}

/** By the call of the push API that is for this kind of target. */
async function push({ app, push: service }: DemoApiOptions, body: unknown): Promise<unknown> {
  const order = PushOrder.parse(body);
  const { text } = order;
  const priority = PRIORITIES[order.priority];
  const message = { business: CHAT, payload: { case: "text" as const, value: text } };
  const common = { app, message, options: { priority } };
  if ("device" in order) {
    const reply = await service.pushToDevices({ ...common, devices: [order.device] });
    return toJson(PushToDevicesResponseSchema, reply);
  }
  if ("user" in order) {
    const reply = await service.pushToUsers({ ...common, users: [order.user] });
    return toJson(PushToUsersResponseSchema, reply);
  }
  if ("room" in order) {
    const reply = await service.pushToRooms({ ...common, rooms: [order.room] });
    return toJson(PushToRoomsResponseSchema, reply);
  }
  return toJson(BroadcastResponseSchema, await service.broadcast(common));
}
