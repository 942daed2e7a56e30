import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { rendezvous } from "../../internal/projector/assignment.ts";
import { answerQuery } from "../../internal/projector/query.ts";
import {
  type PartitionAnswer,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { FoldedLog } from "./fold-support.ts";

const log = new FoldedLog();
log.connected({ id: "a.1", device: "d1", user: "u", rooms: ["lobby"] });
log.connected({ id: "a.2", device: "d3", user: "v", rooms: ["lobby", "chess"] });
log.connected({ id: "b.1", device: "d2", user: "u", rooms: ["lobby"] });
log.connected({ id: "b.2", device: "d4", user: "u", rooms: ["lobby"] });
log.disconnected("b.2", "d4");

function ask(
  body: MessageInitShape<typeof PartitionQuerySchema>["body"] & object,
): PartitionAnswer {
  return answerQuery(log.table, create(PartitionQuerySchema, { body }));
}

test("devices are answered in the order asked, unknown ones with nothing", () => {
  const { routes } = ask({ case: "devices", value: { app: "demo", devices: ["d2", "x", "d4"] } });
  const parsed = routes.map((text) => (text === "" ? undefined : JSON.parse(text).connection));
  expect(parsed).toEqual(["b.1", undefined, "b.2"]);
});

test("another app's devices are unknown", () => {
  expect(ask({ case: "devices", value: { app: "other", devices: ["d1"] } }).routes).toEqual([""]);
});

test("rooms count those who are online", () => {
  const value = { app: "demo", rooms: ["lobby", "chess", "empty"] };
  expect(ask({ case: "rooms", value }).roomCounts).toEqual([3, 1, 0]);
});

test("members come page by page in the order of their devices", () => {
  const page = (after: string) =>
    ask({ case: "members", value: { app: "demo", room: "lobby", after, limit: 2 } }).members.map(
      ({ device }) => device,
    );
  expect([page(""), page("d2"), page("d3")]).toEqual([["d1", "d2"], ["d3"], []]);
});

test("nodes are counted by their connections of the app", () => {
  const { nodeConnections } = ask({ case: "nodes", value: { app: "demo" } });
  expect(nodeConnections).toEqual({ a: 2, b: 1 });
});

test("users are answered with all their devices, also those that are offline", () => {
  const { users } = ask({ case: "users", value: { app: "demo", users: ["u", "nobody"] } });
  const devices = users.map(({ routes }) => routes.map((text) => JSON.parse(text).device).sort());
  expect(devices).toEqual([["d1", "d2", "d4"], []]);
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
