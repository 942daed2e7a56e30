import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import type { PartitionOwner } from "../../internal/projector/partition-owner.ts";
import { Queries } from "../../internal/projector/queries.ts";
import {
  type PartitionAnswer,
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { projectorQuerySubject } from "../../streams/subjects.ts";
import { Ground } from "./owner-support.ts";

/** A projector that owns partition 0 of one. */
async function projector(ground: Ground): Promise<{ owner: PartitionOwner }> {
  const held = { owner: await ground.started("p1") };
  const { messages } = ground;
  new Queries({
    id: "p1",
    partitions: 1,
    messages,
    ownerOf: (partition) => (partition === 0 && held.owner.live ? held.owner : undefined),
  }).start();
  return held;
}

/** Asks for devices; the answer is there when it is. */
function ask(ground: Ground, devices: string[], partitions = [0]) {
  const asked: { answer?: PartitionAnswer } = {};
  const body = { case: "devices" as const, value: { app: "demo", devices } };
  const query = create(PartitionQuerySchema, { body, partitions, waitMs: 2_000 });
  const payload = toBinary(PartitionQuerySchema, query);
  void ground.messages.request(projectorQuerySubject("p1"), payload, 60_000).then((data) => {
    asked.answer = fromBinary(PartitionAnswerSchema, data);
  });
  return asked;
}

test("what was stored before the question is in the answer, however late the owner reads it", async () => {
  const ground = new Ground();
  await projector(ground);
  ground.log.pause();
  ground.log.connected({ id: "a.1", device: "d1" });
  const asked = ask(ground, ["d1"]);
  await ground.pass(1_000);
  expect(asked.answer).toBeUndefined();
  ground.log.resume();
  await ground.pass(0);
  expect(asked.answer?.routes.map((text) => JSON.parse(text).connection)).toEqual(["a.1"]);
});

test("an owner that does not get there in time says that it cannot tell", async () => {
  const ground = new Ground();
  await projector(ground);
  ground.log.pause();
  ground.log.connected({ id: "a.1", device: "d1" });
  const asked = ask(ground, ["d1"]);
  await ground.pass(2_500);
  expect(asked.answer).toMatchObject({ routes: [], unavailable: [0], notMine: [] });
});

test("nor can one whose log has no leader", async () => {
  const ground = new Ground();
  await projector(ground);
  ground.log.lastSequence = () => Promise.reject(new Error("no leader"));
  const asked = ask(ground, ["d1"]);
  await ground.pass(0);
  expect(asked.answer).toMatchObject({ unavailable: [0] });
});

test("a partition that is not its own, or not any more, it leaves to others", async () => {
  const ground = new Ground();
  const { owner } = await projector(ground);
  const others = ask(ground, ["d1"], [0, 7]);
  await ground.pass(0);
  expect(others.answer).toMatchObject({ notMine: [7], unavailable: [] });
  ground.log.pause();
  ground.log.connected({ id: "a.1", device: "d1" });
  const asked = ask(ground, ["d1"]);
  await ground.pass(0);
  owner.abandon();
  await ground.pass(0);
  expect(asked.answer).toMatchObject({ notMine: [0], routes: [] });
});
