/** Answers to questions about partitions, from their folds. */
import { create } from "@bufbuild/protobuf";
import {
  MemberSchema,
  type MembersQuery,
  type PartitionAnswer,
  PartitionAnswerSchema,
  type PartitionQuery,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { partitionOf } from "../../streams/partition.ts";
import type { Device, RouteTable } from "./fold/route-table.ts";

/** Well within one message, which may be 1 MiB, also with one more of the largest there is. */
const ANSWER_BYTES = 512 * 1024;
/** What a number and the fields around a text take. */
const OVERHEAD_BYTES = 16;

export interface QueryOptions {
  /** The partitions that are to answer. */
  tables: ReadonlyMap<number, RouteTable>;
  /** How many the deployment has. */
  partitions: number;
  answerBytes?: number;
}

/** What the tables say, as much as fits into an answer. */
export function answerQuery(
  { body, after }: PartitionQuery,
  options: QueryOptions,
): PartitionAnswer {
  const { tables } = options;
  const answer = new Answer(options.answerBytes ?? ANSWER_BYTES);
  switch (body.case) {
    case "devices": {
      const { app, devices } = body.value;
      answer.fill(Number(after), devices, (id) => {
        const device = tables.get(partitionOf(app, id, options.partitions))?.device(app, id);
        return device === undefined || answer.addRoute(device);
      });
      break;
    }
    case "rooms": {
      const { app, rooms } = body.value;
      answer.fill(Number(after), rooms, (room) => {
        let members = 0;
        for (const table of tables.values()) members += table.rooms.count(app, room);
        return answer.addCount(answer.message.roomCounts, room, members);
      });
      break;
    }
    case "members":
      addMembers(answer, body.value, after, tables);
      break;
    case "nodes":
      addNodes(answer, body.value.app, after, tables);
      break;
    case "users":
      addUsers(answer, body.value, after, tables);
      break;
  }
  return answer.message;
}

class Answer {
  readonly message = create(PartitionAnswerSchema);
  #bytesLeft: number;

  constructor(bytes: number) {
    this.#bytesLeft = bytes;
  }

  /** False when there is no room for it. */
  addRoute({ route }: Device): boolean {
    const text = JSON.stringify(route);
    // At most three bytes of UTF-8 for a unit of UTF-16; nearly always one.
    return this.#take(text.length) && this.message.routes.push(text) > 0;
  }

  addCount(counts: Record<string, number>, id: string, count: number): boolean {
    if (count === 0) return true;
    if (!this.#take(id.length)) return false;
    counts[id] = count;
    return true;
  }

  addMember({ route: { device, user } }: Device): boolean {
    if (!this.#take(device.length + user.length)) return false;
    this.message.members.push(create(MemberSchema, { device, user }));
    return true;
  }

  /** Adds from the place `from` on; what does not fit is the rest. */
  fill<T>(from: number, items: readonly T[], add: (item: T) => boolean): void {
    for (let i = from; i < items.length; i++) {
      const item = items[i];
      if (item === undefined || add(item)) continue;
      this.message.rest = String(i);
      return;
    }
  }

  #take(chars: number): boolean {
    if (this.#bytesLeft <= 0) return false;
    this.#bytesLeft -= chars + OVERHEAD_BYTES;
    return true;
  }
}

/** The first ones of all the tables together. */
function addMembers(
  answer: Answer,
  { app, room, limit }: MembersQuery,
  after: string,
  tables: ReadonlyMap<number, RouteTable>,
): void {
  const lists = Array.from(tables.values(), ({ rooms }) => {
    const members = rooms.membersAfter(app, room, after)[Symbol.iterator]();
    return { members, next: members.next() };
  });
  for (let last = after, count = 0; ; count++) {
    let first: (typeof lists)[number] | undefined;
    for (const list of lists) {
      if (list.next.done === true) continue;
      if (first === undefined || idOf(list.next.value) < idOf(first.next.value)) first = list;
    }
    if (first === undefined) return;
    const member: Device = first.next.value;
    if (count === limit || !answer.addMember(member)) {
      answer.message.rest = last;
      return;
    }
    last = idOf(member);
    first.next = first.members.next();
  }
}

function addNodes(
  answer: Answer,
  app: string,
  after: string,
  tables: ReadonlyMap<number, RouteTable>,
): void {
  const connections = new Map<string, number>();
  for (const { nodes } of tables.values()) {
    for (const [incarnation, node] of nodes) {
      const count = node.apps.get(app) ?? 0;
      connections.set(incarnation, (connections.get(incarnation) ?? 0) + count);
    }
  }
  let last = after;
  for (const incarnation of [...connections.keys()].sort()) {
    if (incarnation <= after) continue;
    const count = connections.get(incarnation) ?? 0;
    if (!answer.addCount(answer.message.nodeConnections, incarnation, count)) {
      answer.message.rest = last;
      return;
    }
    last = incarnation;
  }
}

/** User by user, the devices of each by their ids: `after` is "<place of the user> <device>". */
function addUsers(
  answer: Answer,
  { app, users }: { app: string; users: readonly string[] },
  after: string,
  tables: ReadonlyMap<number, RouteTable>,
): void {
  const space = after.indexOf(" ");
  const begin = space < 0 ? 0 : Number(after.slice(0, space));
  for (let i = begin; i < users.length; i++) {
    let last = i === begin && space >= 0 ? after.slice(space + 1) : "";
    const own: Device[] = [];
    for (const table of tables.values()) {
      for (const device of table.users.members(app, users[i] ?? "")) {
        if (idOf(device) > last) own.push(device);
      }
    }
    if (own.length > 1) own.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
    for (const device of own) {
      if (!answer.addRoute(device)) {
        answer.message.rest = `${i} ${last}`;
        return;
      }
      last = idOf(device);
    }
  }
}

function idOf({ route }: Device): string {
  return route.device;
}
