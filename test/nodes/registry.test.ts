import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { BeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeBeatSubject } from "../../streams/subjects.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

function setUp() {
  const messages = new MemoryMessages();
  const clock = new VirtualClock();
  const nodes = new NodeRegistry({ messages, clock });
  const beat = async (incarnation: string, name: string, connections = 0) => {
    const payload = create(BeatSchema, { incarnation, name, connections });
    messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, payload));
    await Promise.resolve();
  };
  return { messages, clock, nodes, beat };
}

test("a node is listed with its newest beat, once", async () => {
  const { nodes, beat } = setUp();
  await beat("b-1", "b");
  await beat("a-1", "a", 1);
  await beat("a-1", "a", 2);
  expect(nodes.list()).toMatchObject([
    { incarnation: "a-1", connections: 2 },
    { incarnation: "b-1" },
  ]);
});

test("a node that falls silent is no longer listed", async () => {
  const { clock, nodes, beat } = setUp();
  await beat("a-1", "a");
  await beat("b-1", "b");
  clock.advance(3_000);
  await beat("a-1", "a");
  clock.advance(3_000);
  expect(nodes.list().map(({ incarnation }) => incarnation)).toEqual(["a-1"]);
});

test("nodes are found by their name, with all incarnations, and by an incarnation", async () => {
  const { nodes, beat } = setUp();
  await beat("a-1", "a");
  await beat("a-2", "a");
  const found = (text: string) => nodes.find(text).map(({ incarnation }) => incarnation);
  expect([found("a"), found("a-2"), found("b")]).toEqual([["a-1", "a-2"], ["a-2"], []]);
});

test("a beat that is no beat is ignored", async () => {
  const { messages, nodes, beat } = setUp();
  messages.publish(nodeBeatSubject("x"), Buffer.from([0xff]));
  await beat("a-1", "a");
  expect(nodes.list()).toHaveLength(1);
});

test("a registry that was disposed of hears nothing more", async () => {
  const { nodes, beat } = setUp();
  nodes[Symbol.dispose]();
  await beat("a-1", "a");
  expect(nodes.list()).toEqual([]);
});
