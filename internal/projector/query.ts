import { create } from "@bufbuild/protobuf";
import {
  MemberSchema,
  type PartitionAnswer,
  PartitionAnswerSchema,
  type PartitionQuery,
  UserRoutesSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Device, RouteTable } from "./fold/route-table.ts";

/** Answers a question from the fold, which is a moment ahead of the buckets. */
export function answerQuery(table: RouteTable, { body }: PartitionQuery): PartitionAnswer {
  const answer = create(PartitionAnswerSchema);
  switch (body.case) {
    case "devices": {
      const { app, devices } = body.value;
      answer.routes = devices.map((id) => routeText(table.device(app, id)));
      break;
    }
    case "rooms": {
      const { app, rooms } = body.value;
      answer.roomCounts = rooms.map((room) => table.rooms.count(app, room));
      break;
    }
    case "members": {
      const { app, room, after, limit } = body.value;
      answer.members = membersAfter(table.rooms.members(app, room), after, limit).map(
        ({ route: { device, user } }) => create(MemberSchema, { device, user }),
      );
      break;
    }
    case "nodes":
      for (const [incarnation, node] of table.nodes) {
        const connections = node.apps.get(body.value.app);
        if (connections !== undefined) answer.nodeConnections[incarnation] = connections;
      }
      break;
    case "users": {
      const { app, users } = body.value;
      answer.users = users.map((user) =>
        create(UserRoutesSchema, {
          routes: Array.from(table.users.members(app, user), routeText),
        }),
      );
      break;
    }
  }
  return answer;
}

function routeText(device: Device | undefined): string {
  return device === undefined ? "" : JSON.stringify(device.route);
}

/** The first `limit` in the order of device ids, from the first one past `after`. */
function membersAfter(members: Iterable<Device>, after: string, limit: number): Device[] {
  const rest: Device[] = [];
  for (const member of members) if (member.route.device > after) rest.push(member);
  rest.sort((a, b) => (a.route.device < b.route.device ? -1 : 1));
  return rest.slice(0, limit);
}
