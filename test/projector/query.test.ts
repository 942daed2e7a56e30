import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { rendezvous } from "../../internal/projector/assignment.ts";
import { answerQuery } from "../../internal/projector/query.ts";
import {
  type PartitionAnswer,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { partitionOf } from "../../streams/partition.ts";
import { FoldedLog } from "./fold-support.ts";

const log = new FoldedLog();
log.connected({ id: "a.1", device: "d1", user: "u", rooms: ["lobby"] });
log.connected({ id: "a.2", device: "d3", user: "v", rooms: ["lobby", "chess"] });
log.connected({ id: "b.1", device: "d2", user: "u", rooms: ["lobby"] });
log.connected({ id: "b.2", device: "d4", user: "u", rooms: ["lobby"] });
log.disconnected("b.2", "d4");

const PARTITIONS = 2;
const everywhere = Array.from({ length: PARTITIONS }, (_, p) => [p, log.table] as const);

/** Both partitions have the same devices; each speaks for its own. */
function ask(
  body: MessageInitShape<typeof PartitionQuerySchema>["body"] & object,
  { after = "", tables = new Map([[0, log.table]]), answerBytes = 1_000_000 } = {},
): PartitionAnswer {
  const query = create(PartitionQuerySchema, { body, after });
  return answerQuery(query, { tables, partitions: PARTITIONS, answerBytes });
}

/** All answers to one question, each cut to a few bytes. */
function askInPieces(
  body: Parameters<typeof ask>[0],
  tables = new Map([[0, log.table]]),
): PartitionAnswer[] {
  const answers = [ask(body, { tables, answerBytes: 1 })];
  for (let last = answers[0]; last?.rest !== undefined; last = answers.at(-1)) {
    answers.push(ask(body, { after: last.rest, tables, answerBytes: 1 }));
  }
  return answers;
}

const connectionsIn = ({ routes }: PartitionAnswer): string[] =>
  routes.map((text) => JSON.parse(text).connection);

test("devices are answered by the partition that they are of, and unknown ones not at all", () => {
  const devices = ["d1", "d2", "x", "d3", "d4"];
  const answer = ask({ case: "devices", value: { app: "demo", devices } });
  const own = devices.filter((device) => partitionOf("demo", device, PARTITIONS) === 0);
  const known = own.flatMap((device) => log.route(device)?.connection ?? []);
  expect(known.length).toBeGreaterThan(0);
  expect(connectionsIn(answer)).toEqual(known);
});

test("another app's devices are unknown", () => {
  const value = { app: "other", devices: ["d1", "d2"] };
  expect(ask({ case: "devices", value }, { tables: new Map(everywhere) }).routes).toEqual([]);
});

test("rooms count those who are online", () => {
  const value = { app: "demo", rooms: ["lobby", "chess", "empty"] };
  expect(ask({ case: "rooms", value }).roomCounts).toEqual({ lobby: 3, chess: 1 });
});

test("members come page by page in the order of their devices", () => {
  const page = (after: string) => {
    const value = { app: "demo", room: "lobby", limit: 2 };
    const { members, rest } = ask({ case: "members", value }, { after });
    return [members.map(({ device }) => device), rest];
  };
  expect([page(""), page("d2"), page("d3")]).toEqual([
    [["d1", "d2"], "d2"],
    [["d3"], undefined],
    [[], undefined],
  ]);
});

test("nodes are counted by their connections of the app", () => {
  const { nodeConnections } = ask({ case: "nodes", value: { app: "demo" } });
  expect(nodeConnections).toEqual({ a: 2, b: 1 });
});

test("users are answered with their devices, also those that have just left", () => {
  const { routes } = ask({ case: "users", value: { app: "demo", users: ["u", "nobody"] } });
  expect(routes.map((text) => JSON.parse(text).device)).toEqual(["d1", "d2", "d4"]);
});

describe("an answer larger than a message is cut, and goes on from there", () => {
  const tables = new Map(everywhere);

  test("for devices, rooms and nodes", () => {
    const devices = ["d1", "d2", "x", "d3", "d4"];
    const answers = askInPieces({ case: "devices", value: { app: "demo", devices } }, tables);
    expect(answers.map(({ routes }) => routes.length)).toEqual([1, 1, 1, 1]);
    expect(answers.flatMap(connectionsIn)).toEqual(["a.1", "b.1", "a.2", "b.2"]);
    const rooms = askInPieces({ case: "rooms", value: { app: "demo", rooms: ["lobby", "chess"] } });
    expect(rooms.map(({ roomCounts }) => roomCounts)).toEqual([{ lobby: 3 }, { chess: 1 }]);
    const nodes = askInPieces({ case: "nodes", value: { app: "demo" } });
    expect(nodes.map(({ nodeConnections }) => nodeConnections)).toEqual([{ a: 2 }, { b: 1 }]);
  });

  test("within a user and a room too", () => {
    const users = askInPieces({ case: "users", value: { app: "demo", users: ["v", "u"] } });
    expect(users.flatMap(connectionsIn)).toEqual(["a.2", "a.1", "b.1", "b.2"]);
    const value = { app: "demo", room: "lobby", limit: 100 };
    const members = askInPieces({ case: "members", value });
    expect(members.map(({ members }) => members.map(({ device }) => device))).toEqual([
      ["d1"],
      ["d2"],
      ["d3"],
    ]);
  });
});

test("partitions are shared among the projectors, and only those of one that went are moved", () => {
  const partitions = Array.from({ length: 64 }, (_, partition) => partition);
  const before = partitions.map((partition) => rendezvous(partition, ["p", "q", "r"]));
  const after = partitions.map((partition) => rendezvous(partition, ["p", "r"]));
  for (const projector of ["p", "q", "r"]) {
    expect(before.filter((one) => one === projector).length).toBeGreaterThan(10);
  }
  for (const partition of partitions) {
    if (before[partition] !== "q") expect(after[partition]).toBe(before[partition]);
  }
});
