import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Priority, PushService, Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { Message_Priority } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { nodePushSubject } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { APP, PARTITIONS } from "./fake-cluster.ts";
import { type Served, serve, transportTo } from "./served.ts";

let served: Served;
let cluster: Served["cluster"];
let client: Served["client"];

beforeEach(async () => use(await serve()));
afterEach(() => served[Symbol.asyncDispose]());

function use(other: Served): void {
  served = other;
  ({ cluster, client } = other);
}

const text = (value: string) => ({
  business: "chat",
  payload: { case: "text" as const, value },
});
const toDevices = async (...devices: string[]) =>
  (await client.pushToDevices({ app: APP, devices, message: text("hi") })).results;
const statuses = async (...devices: string[]) =>
  (await toDevices(...devices)).map(({ status }) => status);

describe("a push to devices", () => {
  test("reaches a device that is online, with everything the message says", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    const before = Date.now();
    const answer = await client.pushToDevices({
      app: APP,
      devices: ["d1"],
      message: { ...text("hi"), messageId: "m-7", metadata: { trace: "t1" } },
      options: { priority: Priority.LOW },
    });
    expect(answer.messageId).toBe("m-7");
    expect(answer.results).toMatchObject([{ target: "d1", status: Status.SENT }]);
    const { message } = node.delivered[0]!;
    expect(message).toMatchObject({
      ...text("hi"),
      messageId: "m-7",
      metadata: { trace: "t1" },
      priority: Message_Priority.LOW,
      room: "",
    });
    expect(Number(message.sentAt?.seconds) * 1000).toBeGreaterThanOrEqual(before - 1000);
  });

  test("tells a device that is offline from one that was never seen", async () => {
    const node = cluster.node("a-1");
    cluster.logout(cluster.login("gone", node), node);
    expect(await statuses("gone", "never")).toEqual([Status.OFFLINE, Status.UNKNOWN]);
  });

  test("has a result for each target in the order asked, and sends once to one named twice", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    cluster.login("d2", node);
    const results = await toDevices("d2", "nobody", "d1", "d2");
    expect(results.map(({ target, status }) => [target, status])).toEqual([
      ["d2", Status.SENT],
      ["nobody", Status.UNKNOWN],
      ["d1", Status.SENT],
      ["d2", Status.SENT],
    ]);
    expect(node.delivered).toHaveLength(2);
  });

  test("reaches a device of which the bucket does not know yet", async () => {
    const node = cluster.node("a-1");
    const route = cluster.login("d1", node);
    await cluster.inBuckets({ ...route, online: false });
    expect(await statuses("d1")).toEqual([Status.SENT]);
  });

  test("goes by the bucket where the owner of the partition is away", async () => {
    const node = cluster.node("a-1");
    await cluster.inBuckets(cluster.login("d1", node));
    await cluster.inBuckets(cluster.logout(cluster.login("d2", node), node));
    cluster.ownersLeave();
    expect(await statuses("d1", "d2", "d3")).toEqual([Status.SENT, Status.OFFLINE, Status.UNKNOWN]);
  });

  test("asks for the rest when an owner answers only a part", async () => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: 20 }, (_, i) => `d${i}`);
    for (const device of devices) cluster.login(device, node);
    cluster.answerBytes = 1_000;
    expect(new Set(await statuses(...devices))).toEqual(new Set([Status.SENT]));
    expect(cluster.questions).toBeGreaterThan(4);
  });

  test("asks a projector once for all its partitions, and another one only for its own", async () => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: 20 }, (_, i) => `d${i}`);
    for (const device of devices) cluster.login(device, node);
    await statuses(...devices);
    expect(cluster.questions).toBe(1);
    cluster.moves(2, "p2");
    cluster.ground.leases.owners[2] = "p2";
    for (const device of devices) cluster.login(device, node);
    const { results } = await client.pushToUsers({
      app: APP,
      users: ["nobody"],
      message: text("hi"),
    });
    expect(results).toMatchObject([{ status: Status.UNKNOWN }]);
    expect(cluster.questions).toBe(3);
  });

  test("follows a partition to its new owner, of which it has not heard yet", async () => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: 20 }, (_, i) => `d${i}`);
    for (const device of devices) cluster.login(device, node);
    cluster.moves(2, "p2");
    setTimeout(() => {
      cluster.ground.leases.owners[2] = "p2";
    }, 60);
    expect(new Set(await statuses(...devices))).toEqual(new Set([Status.SENT]));
  });

  test("is not told that a device is offline by a bucket whose owner is behind, or dead", async () => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: 8 }, (_, i) => `d${i}`);
    for (const device of devices) {
      await cluster.inBuckets({ ...cluster.login(device, node), online: false });
    }
    await cluster.inBuckets(cluster.login("there", node));
    for (let partition = 0; partition < PARTITIONS; partition++) cluster.behind.add(partition);
    const expected = [...devices.map(() => Status.REFUSED), Status.SENT];
    expect(await statuses(...devices, "there")).toEqual(expected);
    cluster.behind.clear();
    cluster.projectorDies("p1");
    expect(await statuses(...devices)).toEqual(devices.map(() => Status.REFUSED));
  });

  test("tells a device that left long ago from one that was never seen", async () => {
    const node = cluster.node("a-1");
    await cluster.inBuckets(cluster.logout(cluster.login("gone", node), node));
    cluster.forgotten.add("gone");
    expect(await statuses("gone", "never")).toEqual([Status.OFFLINE, Status.UNKNOWN]);
  });

  test("remembers where a device is", async () => {
    cluster.login("d1", cluster.node("a-1"));
    await statuses("d1");
    const asked = cluster.questions;
    expect(await statuses("d1")).toEqual([Status.SENT]);
    expect(cluster.questions).toBe(asked);
  });

  test("follows a device that has moved to another node since", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    const route = cluster.login("d1", a);
    await statuses("d1");
    cluster.logout(route, a);
    cluster.login("d1", b);
    expect(await statuses("d1")).toEqual([Status.SENT]);
    expect(b.texts()).toEqual(["hi"]);
    expect(served.push.counters.retries).toBe(1);
  });

  test("says offline when the device has left since", async () => {
    const node = cluster.node("a-1");
    const route = cluster.login("d1", node);
    await statuses("d1");
    cluster.logout(route, node);
    expect(await statuses("d1")).toEqual([Status.OFFLINE]);
  });

  test("follows a device whose node has gone", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    cluster.login("d1", a);
    await statuses("d1");
    cluster.nodeLeaves(a);
    cluster.login("d1", b);
    expect(await statuses("d1")).toEqual([Status.SENT]);
    expect(b.texts()).toEqual(["hi"]);
  });

  test("says offline when the node has gone and nobody has noticed yet", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    cluster.nodeLeaves(node);
    expect(await statuses("d1")).toEqual([Status.OFFLINE]);
  });

  test("is not sent again to a connection whose node may have it without saying so", async () => {
    const node = cluster.node("frozen-1");
    cluster.login("d1", node);
    cluster.ground.messages.frozen.add(nodePushSubject("frozen-1", "lo"));
    expect(await statuses("d1")).toEqual([Status.OFFLINE]);
    expect(node.delivered).toHaveLength(1);
  });

  test("travels on a lane and a connection of its own when urgent", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    const options = { priority: Priority.HIGH };
    await client.pushToDevices({ app: APP, devices: ["d1"], message: text("fire"), options });
    expect(node.delivered).toMatchObject([
      { lane: "hi", message: { priority: Message_Priority.HIGH } },
    ]);
  });

  test("takes 10,000 targets, in a few messages to each node", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    const devices = Array.from({ length: 10_000 }, (_, i) => `d${i}`);
    for (const [i, device] of devices.entries()) cluster.login(device, i < 9_000 ? a : b);
    expect(new Set(await statuses(...devices))).toEqual(new Set([Status.SENT]));
    expect(a.batches).toEqual([5_000, 4_000]);
    expect(b.batches).toEqual([1_000]);
    expect(served.push.counters.targets.get(Status.SENT)).toBe(10_000);
  });

  test("gives every message without an id one of its own, in the order of time", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const sent = await client.pushToDevices({ app: APP, devices: ["d"], message: text("x") });
      ids.push(sent.messageId);
    }
    expect(new Set(ids).size).toBe(3);
    expect([...ids].sort()).toEqual(ids);
  });
});

describe("a push to users", () => {
  const toUsers = async (...users: string[]) =>
    (await client.pushToUsers({ app: APP, users, message: text("hi") })).results;

  test("reaches every device of each, and says how many", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    cluster.login("phone", a, { user: "ann" });
    cluster.login("tablet", b, { user: "ann" });
    cluster.logout(cluster.login("watch", b, { user: "ann" }), b);
    cluster.logout(cluster.login("tv", b, { user: "bob" }), b);
    expect(await toUsers("ann", "bob", "cleo", "ann")).toMatchObject([
      { target: "ann", status: Status.SENT, devices: 2 },
      { target: "bob", status: Status.OFFLINE, devices: 0 },
      { target: "cleo", status: Status.UNKNOWN, devices: 0 },
      { target: "ann", status: Status.SENT, devices: 2 },
    ]);
    expect([...a.texts(), ...b.texts()]).toEqual(["hi", "hi"]);
  });

  test("tells a user whose devices all left long ago from one that was never seen", async () => {
    const node = cluster.node("a-1");
    await cluster.inBuckets(cluster.logout(cluster.login("old", node, { user: "ann" }), node));
    cluster.forgotten.add("old");
    expect(await toUsers("ann", "nobody")).toMatchObject([
      { status: Status.OFFLINE, devices: 0 },
      { status: Status.UNKNOWN, devices: 0 },
    ]);
  });

  test("goes by the buckets where an owner is away, and not to a device that changed hands", async () => {
    const node = cluster.node("a-1");
    await cluster.inBuckets(cluster.login("phone", node, { user: "ann" }));
    await cluster.inBuckets(cluster.login("shared", node, { user: "ann" }));
    await cluster.inBuckets(cluster.login("shared", node, { user: "bob" }));
    cluster.ownersLeave();
    expect(await toUsers("ann", "bob", "cleo")).toMatchObject([
      { target: "ann", status: Status.SENT, devices: 1 },
      { target: "bob", status: Status.SENT, devices: 1 },
      { target: "cleo", status: Status.UNKNOWN },
    ]);
  });

  test("completes from the buckets what one owner cannot say", async () => {
    const node = cluster.node("a-1");
    for (let i = 0; i < 12; i++) {
      await cluster.inBuckets(cluster.login(`d${i}`, node, { user: "ann" }));
    }
    cluster.ownerLeaves(2);
    expect(await toUsers("ann")).toMatchObject([{ status: Status.SENT, devices: 12 }]);
  });
});

describe("a push to rooms, zones and everyone", () => {
  test("goes once to each room, and says which room it is for", async () => {
    const rooms = ["r.1", "r 2", "r.1"];
    const { results } = await client.pushToRooms({ app: APP, rooms, message: text("hi") });
    expect(results.map(({ target, status }) => [target, status])).toEqual(
      rooms.map((room) => [room, Status.SENT]),
    );
    expect(cluster.ground.roomAppender.appended).toMatchObject([
      { subject: "hf.chan.in.demo.room.-ci4x", message: { room: "r.1" } },
      { subject: "hf.chan.in.demo.room.-ciAy", message: { room: "r 2" } },
    ]);
  });

  test("goes to zones and to everyone", async () => {
    const message = text("hi");
    await client.pushToZones({ app: APP, zones: ["z1"], message });
    const { results } = await client.broadcast({ app: APP, message });
    expect(results).toMatchObject([{ target: APP, status: Status.SENT }]);
    expect(cluster.ground.roomAppender.appended.map(({ subject }) => subject)).toEqual([
      "hf.chan.in.demo.zone.z1",
      "hf.chan.in.demo.all.all",
    ]);
  });

  test("is sent when the stream has stored it, not before", async () => {
    cluster.ground.roomAppender.storing = false;
    let answered = false;
    const call = client.broadcast({ app: APP, message: text("hi") }).finally(() => {
      answered = true;
    });
    await client.pushToDevices({ app: APP, devices: ["d"], message: text("another call") });
    expect(answered).toBe(false);
    cluster.ground.roomAppender.storeAll();
    expect((await call).results).toMatchObject([{ status: Status.SENT }]);
  });

  test("is refused when the stream does not store it in time", async () => {
    await served[Symbol.asyncDispose]();
    const clock = new VirtualClock();
    use(await serve({ clock }));
    cluster.ground.roomAppender.storing = false;
    const call = client.pushToRooms({ app: APP, rooms: ["r"], message: text("hi") });
    while (cluster.ground.roomAppender.backlog === 0) await new Promise(setImmediate);
    clock.advance(5_000);
    expect((await call).results).toMatchObject([
      { target: "r", status: Status.REFUSED, reason: "unavailable" },
    ]);
  });

  test("is refused while the stream has too much to store", async () => {
    cluster.ground.roomAppender.ready = false;
    const { results } = await client.broadcast({ app: APP, message: text("hi") });
    expect(results).toMatchObject([{ status: Status.REFUSED, reason: "unavailable" }]);
    expect(cluster.ground.roomAppender.appended).toEqual([]);
  });
});

describe("a stream of pushes", () => {
  const items = async function* (count: number) {
    for (let i = 0; i < count; i++) {
      const value = { app: APP, devices: ["d1", "gone"], message: text(String(i)) };
      yield { push: { case: "devices" as const, value } };
    }
  };

  test("is delivered in its order, and answered with totals", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    cluster.logout(cluster.login("gone", node), node);
    // Whoever does not wait for the first route overtakes the first item.
    cluster.firstAnswerMs = 30;
    const answer = await client.pushStream(items(200));
    expect(answer).toMatchObject({ received: 200n, statuses: { SENT: 200n, OFFLINE: 200n } });
    expect(node.texts()).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
  });

  test("is held up rather than refused when it comes faster than the app may call", async () => {
    await served[Symbol.asyncDispose]();
    const clock = new VirtualClock();
    use(await serve({ callsPerSecond: 10, clock }));
    let ended = false;
    const call = client.pushStream(items(15)).finally(() => {
      ended = true;
    });
    await eventually("the stream has ended", () => {
      if (!ended) clock.advance(10);
      return ended;
    });
    expect((await call).received).toBe(15n);
    // Ten at once, the other five as they come.
    expect(clock.monotonic()).toBeGreaterThanOrEqual(500);
  });

  test("ends with the rule that an item breaks", async () => {
    async function* broken() {
      yield* items(1);
      const value = { app: APP, devices: [], message: text("x") };
      yield { push: { case: "devices" as const, value } };
    }
    const failed = await client.pushStream(broken()).catch(ConnectError.from);
    expect(failed).toMatchObject({ code: Code.InvalidArgument });
    expect(String(failed)).toContain("devices.devices: must contain at least 1 item(s)");
  });
});

describe("a caller", () => {
  const message = text("hi");
  const failure = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error) => ConnectError.from(error),
    );

  test("gets the same answer for an unknown app, a wrong key and none", async () => {
    const request = { devices: ["d1"], message };
    const { url } = served.server;
    const withKey = (key?: string) => createClient(PushService, transportTo(url, key));
    const answers = [
      await failure(withKey("right").pushToDevices({ ...request, app: "nobody" })),
      await failure(withKey("wrong").pushToDevices({ ...request, app: APP })),
      await failure(withKey("").pushToDevices({ ...request, app: APP })),
      await failure(served.directory.getDevices({ app: "nobody", devices: ["d1"] })),
    ];
    for (const answer of answers) {
      expect(answer).toMatchObject({
        code: Code.Unauthenticated,
        rawMessage: "app and API key do not go together",
      });
    }
  });

  test("is told that 10,001 targets are too many", async () => {
    const devices = Array.from({ length: 10_001 }, (_, i) => `d${i}`);
    const answer = await failure(client.pushToDevices({ app: APP, devices, message }));
    expect(answer).toMatchObject({ code: Code.InvalidArgument });
    expect(answer?.rawMessage).toContain("devices: must contain no more than 10000 item(s)");
  });

  test.each(["a.b", "*", ">", "with space", "😀", "-dash", "x".repeat(128), "é".repeat(64)])(
    "may use %j as an id",
    async (id) => {
      const node = cluster.node("a-1");
      cluster.login(id, node);
      expect(await statuses(id)).toEqual([Status.SENT]);
    },
  );

  test.each(["", "line\nbreak", "\u0000", "\u0085", "x".repeat(129), "é".repeat(65)])(
    "is told that %j is no id",
    async (id) => {
      const answer = await failure(client.pushToDevices({ app: APP, devices: ["d", id], message }));
      expect(answer).toMatchObject({
        code: Code.InvalidArgument,
        rawMessage:
          "devices[1]: must be 1 to 128 bytes of UTF-8 without control characters [string.id]",
      });
    },
  );

  test("is told of an option out of range, a payload too large, and no message", async () => {
    const devices = ["d"];
    const refused = async (request: Parameters<typeof client.pushToDevices>[0]) =>
      (await failure(client.pushToDevices(request)))?.rawMessage;
    const options = { ttlSeconds: 604_801 };
    expect(await refused({ app: APP, devices, message, options })).toContain("options.ttl_seconds");
    const large = text("x".repeat(262_145));
    expect(await refused({ app: APP, devices, message: large })).toContain("message.text");
    expect(await refused({ app: APP, devices })).toContain("message: value is required");
  });

  test("that calls too often is told so", async () => {
    await served[Symbol.asyncDispose]();
    use(await serve({ callsPerSecond: 2 }));
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => failure(client.broadcast({ app: APP, message }))),
    );
    const refused = answers.filter((answer) => answer !== undefined);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ code: Code.ResourceExhausted });
    expect(refused[0]?.rawMessage).toContain("more than 2 calls in a second");
  });

  test("is told when the broker is away, and the server says it is not ready", async () => {
    cluster.ground.link.connected = false;
    const answer = await failure(client.broadcast({ app: APP, message }));
    expect(answer).toMatchObject({ code: Code.Unavailable });
    expect((await fetch(`${served.server.url}/readyz`)).status).toBe(503);
  });
});
