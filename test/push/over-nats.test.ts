/** The push role on a real broker; nodes and owners are still played. */
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NatsBucket } from "../../internal/bus/bucket.ts";
import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsReceipts } from "../../internal/bus/receipts.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { Priority, Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { channelLiveSubject } from "../../streams/subjects.ts";
import { appenderOn, connectTo, type TestConnection } from "../bus/support.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import {
  APP,
  FakeCluster,
  FakeLeases,
  type FakeNode,
  messageIn,
  PARTITIONS,
} from "./fake-cluster.ts";
import { type Port, servePush } from "./served.ts";

let nats: TestNats;
/** Of the push role, of its urgent messages, and of nodes and owners. */
let connections: TestConnection[];
let port: Port;
let cluster: FakeCluster;
let appender: Disposable;

beforeAll(async () => {
  nats = await testNats();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

beforeEach(async () => {
  const [own, urgent, others] = [
    await connectTo(nats),
    await connectTo(nats),
    await connectTo(nats),
  ];
  connections = [own, urgent, others];
  await reconcile(own.nc, {
    partitions: PARTITIONS,
    logStreams: 1,
    replicas: 1,
    logMaxBytes: 64 * 1024 * 1024,
  });
  const elsewhere = new NatsMessages(others);
  const leases = new FakeLeases();
  cluster = new FakeCluster({
    leases,
    messages: elsewhere,
    highMessages: elsewhere,
    routes: new NatsBucket(others, "hf_route"),
    users: new NatsBucket(others, "hf_user"),
  });
  const room = appenderOn(own);
  appender = room.appender;
  port = await servePush({
    messages: new NatsMessages(own),
    highMessages: new NatsMessages(urgent),
    link: own.link,
    buckets: {
      routes: new NatsBucket(own, "hf_route"),
      users: new NatsBucket(own, "hf_user"),
      rooms: new NatsBucket(own, "hf_room"),
      businesses: new NatsBucket(own, "hf_business"),
    },
    roomAppender: room.appender,
    logAppender: new LinedAppender(room.appender),
    receipts: new NatsReceipts(own, room.appender),
    mailboxes: { isFull: () => false },
    leases,
    headroom: { lacking: () => undefined },
  });
  await others.outbound.flush();
});

afterEach(async () => {
  await port?.[Symbol.asyncDispose]();
  appender?.[Symbol.dispose]();
  for (const connection of connections) {
    expect(connection.faults).toEqual([]);
    await connection.close();
  }
});

const message = { business: "chat", payload: { case: "text" as const, value: "hi" } };
const pushTo = async (...devices: string[]) =>
  (await port.client.pushToDevices({ app: APP, devices, message })).results.map(
    ({ status }) => status,
  );

describe("on a real broker", () => {
  test("10,000 devices at two nodes get a message, whose routes are asked of their owners", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    const devices = Array.from({ length: 10_000 }, (_, i) => `d${i}`);
    for (const [i, device] of devices.entries()) cluster.login(device, i % 2 ? a : b);
    // An owner that is late for once is left alone for a second, and its devices are unknown so long.
    const allSent = async () =>
      (await pushTo(...devices)).every((status) => status === Status.SENT);
    await eventually("everybody is found", allSent, { everyMs: 500 });
    const reached = (node: FakeNode) => new Set(node.delivered.map(({ counter }) => counter)).size;
    expect([reached(a), reached(b)]).toEqual([5_000, 5_000]);
    const asked = cluster.questions;
    expect(new Set(await pushTo(...devices))).toEqual(new Set([Status.SENT]));
    expect(cluster.questions).toBe(asked);
  });

  test("without owners, devices and users are found in the buckets", async () => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: 300 }, (_, i) => `bucket.${i}`);
    for (const [i, device] of devices.entries()) {
      await cluster.inBuckets(cluster.login(device, node, { user: `u ${i % 3}` }));
    }
    cluster.ownersLeave();
    expect(await pushTo(...devices, "never")).toEqual([
      ...devices.map(() => Status.SENT),
      Status.UNKNOWN,
    ]);
    const users = ["u 0", "u 1", "nobody"];
    const { results } = await port.client.pushToUsers({ app: APP, users, message });
    expect(results).toMatchObject([
      { status: Status.SENT, devices: 100 },
      { status: Status.SENT, devices: 100 },
      { status: Status.UNKNOWN, devices: 0 },
    ]);
  });

  test("a device is followed from a node that nobody answers for", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    cluster.login("mover", a);
    expect(await pushTo("mover")).toEqual([Status.SENT]);
    cluster.nodeLeaves(a);
    cluster.login("mover", b);
    expect(await pushTo("mover")).toEqual([Status.SENT]);
    expect(b.texts()).toEqual(["hi"]);
  });

  test("an urgent message goes over both connections, and arrives once", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    const sent = () => connections.map((connection) => connection.nc.stats().outMsgs);
    await pushTo("d1");
    const before = sent();
    const options = { priority: Priority.HIGH };
    await port.client.pushToDevices({ app: APP, devices: ["d1"], message, options });
    const [own, urgent] = sent().map((count, i) => count - (before[i] ?? 0));
    expect([own, urgent]).toEqual([1, 1]);
    expect(node.delivered).toHaveLength(2);
  });

  test("a message to a room is stored, and handed on to those who listen to the room", async () => {
    const heard: { room: string; text: unknown }[] = [];
    const channel = { kind: "room", app: APP, id: "the room" } as const;
    cluster.ground.messages.subscribe(channelLiveSubject(channel), ({ data }) => {
      const { room, payload } = messageIn(data);
      heard.push({ room, text: payload.value });
    });
    await connections[2]?.outbound.flush();
    const rooms = ["the room", "another"];
    const { results } = await port.client.pushToRooms({ app: APP, rooms, message });
    expect(results.map(({ status }) => status)).toEqual([Status.SENT, Status.SENT]);
    await eventually("the room is heard", () => heard.length > 0);
    expect(heard).toEqual([{ room: "the room", text: "hi" }]);
  });

  test("a room keeps the zone it was put into", async () => {
    await port.directory.setRoom({ app: APP, room: "r", zone: "west" });
    await port.directory.setRoom({ app: APP, room: "r", zone: "" });
    await port.directory.setRoom({ app: APP, room: "r", zone: "east" });
    const { rooms } = await port.directory.getRooms({ app: APP, rooms: ["r"] });
    expect(rooms).toMatchObject([{ room: "r", zone: "east", online: 0 }]);
  });

  test("while the broker is away callers are told so, and afterwards all works again", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    expect(await pushTo("d1")).toEqual([Status.SENT]);
    await nats.kill();
    await eventually("it is not ready", async () => {
      return (await fetch(`${port.server.url}/readyz`)).status === 503;
    });
    const failed = await pushTo("d1").catch(ConnectError.from);
    expect(failed).toMatchObject({ code: Code.Unavailable });
    await nats.start();
    const sent = async () => {
      const statuses = await pushTo("d1").catch(() => []);
      return statuses[0] === Status.SENT;
    };
    await eventually("it is sent", sent);
    const stored = await port.client.broadcast({ app: APP, message });
    expect(stored.results).toMatchObject([{ status: Status.SENT }]);
  });
});
