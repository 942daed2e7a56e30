import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DeviceResult_Status as DeviceStatus } from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { nodeControlSubject } from "../../streams/subjects.ts";
import { APP, PARTITIONS } from "./fake-cluster.ts";
import { API_KEY, type Served, serve } from "./served.ts";

let served: Served;
let cluster: Served["cluster"];
let directory: Served["directory"];

beforeEach(async () => {
  served = await serve();
  ({ cluster, directory } = served);
});
afterEach(() => served[Symbol.asyncDispose]());

describe("devices", () => {
  test("are shown as they are, in the order asked", async () => {
    const node = cluster.node("a-1");
    const on = cluster.login("on", node, { user: "ann", rooms: ["lobby"] });
    cluster.logout(cluster.login("off", node), node);
    const { devices } = await directory.getDevices({ app: APP, devices: ["never", "off", "on"] });
    expect(devices).toMatchObject([
      { device: "never", known: false, online: false },
      { device: "off", known: true, online: false, offlineReason: "client-closed" },
      {
        device: "on",
        known: true,
        online: true,
        user: "ann",
        node: "a-1",
        connectionId: on.connection,
        platform: "web",
        appVersion: "1.2.3",
        rooms: ["lobby"],
      },
    ]);
    expect(devices[0]?.since).toBeUndefined();
    const since = devices[2]?.since;
    expect(since && timestampMs(since)).toBe(on.since);
  });

  test("are offline at once when they have left, whatever was pushed to them before", async () => {
    const node = cluster.node("a-1");
    const route = cluster.login("d1", node);
    await cluster.inBuckets(route);
    await served.client.pushToDevices({ app: APP, devices: ["d1"], message: { business: "b" } });
    cluster.logout(route, node);
    const { devices } = await directory.getDevices({ app: APP, devices: ["d1"] });
    expect(devices).toMatchObject([{ online: false }]);
  });

  test("that left so long ago that their owner has forgotten them are known all the same", async () => {
    const node = cluster.node("a-1");
    const online = cluster.login("old", node, { user: "ann" });
    // The bucket has it online, of records that the log has lost.
    const lost = cluster.login("lost", node, { user: "ann", rooms: ["lobby"] });
    for (const route of [cluster.logout(online, node), lost]) await cluster.inBuckets(route);
    for (const device of ["old", "lost"]) cluster.forgotten.add(device);
    const { devices } = await directory.getDevices({ app: APP, devices: ["old", "lost", "never"] });
    expect(devices).toMatchObject([
      { device: "old", known: true, online: false, offlineReason: "client-closed" },
      { device: "lost", known: true, online: false, rooms: [] },
      { device: "never", known: false },
    ]);
    cluster.login("new", node, { user: "ann" });
    cluster.login("shared", node, { user: "bob" });
    await cluster.inBuckets({ ...online, device: "shared" });
    const { users } = await directory.getUsers({ app: APP, users: ["ann"] });
    const found = users[0]?.devices.map(({ device, online }) => [device, online]);
    expect(found?.sort()).toEqual([
      ["lost", false],
      ["new", true],
      ["old", false],
    ]);
  });

  test("are not told wrong while their owner is behind its log", async () => {
    const node = cluster.node("a-1");
    await cluster.inBuckets({ ...cluster.login("d1", node, { user: "ann" }), online: false });
    for (let partition = 0; partition < PARTITIONS; partition++) cluster.behind.add(partition);
    const questions = [
      directory.getDevices({ app: APP, devices: ["d1"] }),
      directory.getUsers({ app: APP, users: ["ann"] }),
      directory.kickDevices({ app: APP, devices: ["d1"] }),
    ];
    for (const failed of await Promise.all(questions.map((one) => one.catch(ConnectError.from)))) {
      expect(failed).toMatchObject({ code: Code.Unavailable });
    }
  });

  test("say in JSON that they are not online", async () => {
    const url = `${served.server.url}/holdfast.directory.v1.DirectoryService/GetDevices`;
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify({ app: APP, devices: ["d1"] }),
    });
    expect(await answer.json()).toMatchObject({ devices: [{ device: "d1", online: false }] });
  });

  test("of a user are listed, online or not", async () => {
    const node = cluster.node("a-1");
    cluster.login("phone", node, { user: "ann" });
    cluster.logout(cluster.login("tv", node, { user: "ann" }), node);
    const { users } = await directory.getUsers({ app: APP, users: ["ann", "bob"] });
    expect(users).toMatchObject([
      { user: "ann", online: true },
      { user: "bob", online: false, devices: [] },
    ]);
    expect(users[0]?.devices.map(({ device, online }) => [device, online]).sort()).toEqual([
      ["phone", true],
      ["tv", false],
    ]);
  });
});

describe("rooms", () => {
  const members = (count: number) => {
    const node = cluster.node("a-1");
    const devices = Array.from({ length: count }, (_, i) => `d${String(i).padStart(3, "0")}`);
    for (const device of devices) cluster.login(device, node, { rooms: ["lobby"], user: "u" });
    return devices;
  };

  test("are counted over all partitions, with the zone they were put into", async () => {
    members(25);
    await directory.setRoom({ app: APP, room: "lobby", zone: "west" });
    await directory.setRoom({ app: APP, room: "lobby", zone: "east" });
    const { rooms } = await directory.getRooms({ app: APP, rooms: ["lobby", "empty"] });
    expect(rooms).toMatchObject([
      { room: "lobby", online: 25, zone: "east" },
      { room: "empty", online: 0, zone: "" },
    ]);
  });

  test("list their members page by page, in order, each once", async () => {
    const devices = members(25);
    const seen: string[] = [];
    const sizes: number[] = [];
    let pageToken = "";
    do {
      const request = { app: APP, room: "lobby", pageSize: 10, pageToken };
      const page = await directory.listRoomMembers(request);
      seen.push(...page.members.map(({ device }) => device));
      sizes.push(page.members.length);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(devices);
    expect(sizes).toEqual([10, 10, 5]);
  });

  test("are one list, whoever owns the partitions, of which each projector is asked once", async () => {
    const devices = members(25);
    for (const partition of [1, 3]) {
      cluster.moves(partition, "p2");
      cluster.ground.leases.owners[partition] = "p2";
    }
    const before = cluster.questions;
    const page = await directory.listRoomMembers({ app: APP, room: "lobby", pageSize: 10 });
    expect(page.members.map(({ device }) => device)).toEqual(devices.slice(0, 10));
    expect(cluster.questions - before).toBe(2);
  });

  test("end with a page that is just full", async () => {
    members(10);
    const page = await directory.listRoomMembers({ app: APP, room: "lobby", pageSize: 10 });
    expect(page).toMatchObject({ nextPageToken: "", members: { length: 10 } });
  });

  test("are not counted wrong while a partition has no owner", async () => {
    cluster.ownerLeaves(1);
    const failed = await directory
      .getRooms({ app: APP, rooms: ["lobby"] })
      .catch(ConnectError.from);
    expect(failed).toMatchObject({ code: Code.Unavailable });
    expect(String(failed)).toContain("nobody owns partition 1");
  });
});

describe("nodes", () => {
  test("are listed while they beat, with their connections of this app", async () => {
    const node = cluster.node("a-1");
    cluster.login("d1", node);
    cluster.login("d2", node);
    cluster.login("d3", node, { app: "other" });
    cluster.beat("b-1", "b");
    cluster.beat("a-1", "a");
    const { nodes } = await directory.listNodes({ app: APP });
    expect(nodes).toMatchObject([
      { node: "a-1", name: "a", connections: 2, endpoints: ["ws://a/connect"], version: "1.0.0" },
      { node: "b-1", name: "b", connections: 0 },
    ]);
  });
});

describe("orders", () => {
  const devices = ["on", "off", "never"];
  const results = [
    { device: "on", status: DeviceStatus.DONE },
    { device: "off", status: DeviceStatus.OFFLINE },
    { device: "never", status: DeviceStatus.UNKNOWN },
  ];

  test("kick the devices that are online, with the reason the app gives", async () => {
    const node = cluster.node("a-1");
    cluster.login("on", node);
    cluster.logout(cluster.login("off", node), node);
    const answer = await directory.kickDevices({ app: APP, devices, reason: "be gone" });
    expect(answer.results).toMatchObject(results);
    expect(node.orders.map(({ body }) => body)).toMatchObject([
      { case: "kick", value: { connection: 1n, code: 4211, reason: "be gone" } },
    ]);
  });

  test("put devices into rooms and take them out", async () => {
    const node = cluster.node("a-1");
    cluster.login("on", node);
    cluster.logout(cluster.login("off", node), node);
    const joined = await directory.joinRoom({ app: APP, room: "lobby", devices });
    const left = await directory.leaveRoom({ app: APP, room: "lobby", devices });
    expect(joined.results).toMatchObject(results);
    expect(left.results).toMatchObject(results);
    expect(node.orders.map(({ body }) => body)).toMatchObject([
      { case: "setRooms", value: { connection: 1n, join: ["lobby"], leave: [] } },
      { case: "setRooms", value: { connection: 1n, join: [], leave: ["lobby"] } },
    ]);
  });

  test("are done only if the node says so", async () => {
    const [node, gone, frozen] = ["a-1", "b-1", "c-1"].map((name) => cluster.node(name));
    if (node === undefined || gone === undefined || frozen === undefined) throw new Error();
    cluster.login("here", node);
    cluster.login("ended", node);
    node.connections.delete(2n); // its owner has not read that yet
    cluster.login("of a dead node", gone);
    cluster.login("of a frozen node", frozen);
    cluster.nodeLeaves(gone);
    served.cluster.ground.messages.frozen.add(nodeControlSubject("c-1"));
    const devices = ["here", "ended", "of a dead node", "of a frozen node"];
    const { results } = await directory.kickDevices({ app: APP, devices });
    expect(results.map(({ status }) => status)).toEqual([
      DeviceStatus.DONE,
      DeviceStatus.OFFLINE,
      DeviceStatus.UNAVAILABLE,
      DeviceStatus.UNAVAILABLE,
    ]);
  });

  test("reach a device that was pushed to and has moved since", async () => {
    const [a, b] = [cluster.node("a-1"), cluster.node("b-1")];
    const route = cluster.login("on", a);
    const message = { business: "b" };
    const pushed = await served.client.pushToDevices({ app: APP, devices: ["on"], message });
    expect(pushed.results[0]?.status).toBe(Status.SENT);
    cluster.logout(route, a);
    cluster.login("on", b);
    await directory.kickDevices({ app: APP, devices: ["on"] });
    expect(b.orders).toHaveLength(1);
  });
});
