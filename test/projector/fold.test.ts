import { describe, expect, test } from "vitest";
import { REMEMBER_DEAD_MS } from "../../internal/projector/fold/fold.ts";
import { eventsOf } from "../support/log-events.ts";
import { connection, FoldedLog, texts } from "./fold-support.ts";

describe("a device connects", () => {
  test("its route names its newest connection, and the one before is kicked", () => {
    const log = new FoldedLog();
    expect(texts(log.connected({ id: "a.1", device: "d", user: "u" }))).toEqual([
      "route d",
      "user d",
    ]);
    expect(texts(log.connected({ id: "b.1", device: "d" }))).toEqual(["kick a.1", "route d"]);
    expect(log.where("d")).toBe("b.1");
  });

  test("of two connections to one node the later stays, in whatever order they reach the log", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.2", device: "d" });
    expect(texts(log.connected({ id: "a.1", device: "d" }))).toEqual(["kick a.1"]);
    expect(log.where("d")).toBe("a.2");
  });

  test("a connection that was closed already does not come back", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.disconnected("a.1", "d");
    expect(log.connected({ id: "a.1", device: "d" })).toEqual([]);
    expect(log.where("d")).toBe("offline (client-closed)");
  });

  test("a record that is stored a second time changes nothing, whatever happened in between", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    const again = eventsOf("a", {
      case: "connected",
      value: { connection: connection({ id: "a.1", device: "d" }) },
    });
    log.connected({ id: "b.1", device: "d" });
    expect(log.record(again, 1)).toEqual([]);
    expect(log.where("d")).toBe("b.1");
  });

  test("an older login of the device, heard of later, does not push the newer one out", () => {
    const log = new FoldedLog();
    log.connected({ id: "b.1", device: "d", loginNumber: 8 });
    expect(texts(log.connected({ id: "a.1", device: "d", loginNumber: 7 }))).toEqual(["kick a.1"]);
    expect(log.where("d")).toBe("b.1");
    log.disconnected("b.1", "d");
    expect(texts(log.connected({ id: "a.2", device: "d", loginNumber: 7 }))).toEqual(["kick a.2"]);
    expect(log.where("d")).toBe("offline (client-closed)");
  });

  test("a later login of the same node stays though its count says otherwise only where both count", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.2", device: "d", loginNumber: 0 });
    expect(texts(log.connected({ id: "a.1", device: "d", loginNumber: 9 }))).toEqual(["kick a.1"]);
    log.connected({ id: "a.3", device: "d", loginNumber: 9 });
    expect(texts(log.connected({ id: "a.4", device: "d", loginNumber: 8 }))).toEqual(["kick a.4"]);
    expect(log.where("d")).toBe("a.3");
  });

  test("a client that has lost its count is let in when the login cannot be an old one", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d", loginNumber: 100, openedAtMs: 1_000 });
    const later = { id: "b.1", device: "d", loginNumber: 1, openedAtMs: 10 * 60_000 };
    expect(texts(log.connected(later))).toEqual(["kick a.1", "route d"]);
    expect(log.where("d")).toBe("b.1");
  });

  test("the events of one record count in their order, and the route changes once", () => {
    const log = new FoldedLog();
    const effects = log.events(
      "a.1",
      { case: "connected", value: { connection: connection({ id: "a.1", device: "d" }) } },
      { case: "connected", value: { connection: connection({ id: "a.2", device: "e" }) } },
      { case: "roomsChanged", value: ended("a.1", "d", { rooms: ["lobby"] }) },
      { case: "disconnected", value: ended("a.2", "e", { reason: "idle" }) },
    );
    expect(texts(effects)).toEqual(["route d", "route e"]);
    expect(log.route("d")?.rooms).toEqual(["lobby"]);
    expect(log.where("e")).toBe("offline (idle)");
  });

  test("a record that overtook one that was turned away waits until both come again", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    const second = eventsOf("a", { case: "disconnected", value: ended("a.1", "d", {}) });
    const third = eventsOf("a", {
      case: "connected",
      value: { connection: connection({ id: "a.2", device: "d" }) },
    });
    // The node knows only the first to be stored.
    expect(log.record(third, 3, { stored: 1 })).toEqual([]);
    expect(log.where("d")).toBe("a.1");
    log.record(second, 2, { stored: 1 });
    log.record(third, 3, { stored: 1 });
    expect(log.where("d")).toBe("a.2");
  });

  test("a record that its node knows to be stored, and that is not there, is lost", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    const fifth = eventsOf("a", {
      case: "connected",
      value: { connection: connection({ id: "a.5", device: "f" }) },
    });
    // 2 and 3 are lost; 4 was turned away and comes again.
    expect(texts(log.record(fifth, 5, { stored: 3 }))).toEqual(["announce a"]);
    const fourth = eventsOf("a", {
      case: "connected",
      value: { connection: connection({ id: "a.4", device: "e" }) },
    });
    expect(texts(log.record(fourth, 4, { stored: 3 }))).toEqual(["route e"]);
    expect(texts(log.record(fifth, 5, { stored: 3 }))).toEqual(["route f"]);
  });

  test("a record that went missing makes the node announce its connections", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.skip("a");
    expect(texts(log.connected({ id: "a.3", device: "e" }))).toEqual(["announce a", "route e"]);
  });
});

describe("a connection ends", () => {
  test("the device is offline with the reason, and in no room", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d", rooms: ["lobby"] });
    log.atMs = 5_000;
    expect(texts(log.disconnected("a.1", "d", "idle"))).toEqual(["route d"]);
    expect(log.route("d")).toMatchObject({
      online: false,
      reason: "idle",
      rooms: [],
      since: 5_000,
    });
    expect(log.table.rooms.count("demo", "lobby")).toBe(0);
  });

  test("an old disconnect never removes a newer connection", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "b.1", device: "d" });
    expect(log.disconnected("a.1", "d")).toEqual([]);
    expect(log.where("d")).toBe("b.1");
  });

  test("nor does it after an owner took over that knows nothing of the old connection", () => {
    const before = new FoldedLog();
    before.connected({ id: "a.1", device: "d" });
    before.connected({ id: "b.1", device: "d" });
    const log = FoldedLog.restored(before.table.progress(), [before.route("d")!]);
    log.skip("a");
    expect(log.disconnected("a.1", "d")).toEqual([]);
    expect(log.where("d")).toBe("b.1");
  });
});

describe("rooms", () => {
  test("a change replaces the whole set", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d", rooms: ["lobby"] });
    log.rooms("a.1", "d", ["chess", "go"]);
    expect(log.route("d")?.rooms).toEqual(["chess", "go"]);
    expect(["lobby", "chess", "go"].map((room) => log.table.rooms.count("demo", room))).toEqual([
      0, 1, 1,
    ]);
  });

  test("a change of an old connection leaves the newer one's rooms alone", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "b.1", device: "d", rooms: ["lobby"] });
    expect(log.rooms("a.1", "d", ["chess"])).toEqual([]);
    expect(log.route("d")?.rooms).toEqual(["lobby"]);
  });
});

describe("a node dies", () => {
  test("all its devices go offline, and nobody else's", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "a.2", device: "e" });
    log.connected({ id: "b.1", device: "f" });
    expect(texts(log.nodeDown("a"))).toEqual(["route d", "route e"]);
    expect(["d", "e", "f"].map((device) => log.where(device))).toEqual([
      "offline (node-down)",
      "offline (node-down)",
      "b.1",
    ]);
  });

  test("what it says after that is ignored", () => {
    const log = new FoldedLog();
    log.nodeDown("a");
    expect(log.connected({ id: "a.1", device: "d" })).toEqual([]);
    expect(log.announced("a", [{ id: "a.1", device: "d" }])).toEqual([]);
    expect(log.where("d")).toBe("unknown");
    expect(log.table.nodes.size).toBe(0);
  });

  test("it is forgotten only when the log cannot hold the record of its death any more", () => {
    const log = new FoldedLog();
    log.nodeDown("a");
    log.atMs += REMEMBER_DEAD_MS;
    log.nodeDown("b");
    expect([...log.table.dead.keys()]).toEqual(["a", "b"]);
    log.atMs += 1;
    log.nodeDown("c");
    expect([...log.table.dead.keys()]).toEqual(["b", "c"]);
  });
});

describe("a node announces its connections", () => {
  test("under its new incarnation they are online again", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d", openedAtMs: 100 });
    log.nodeDown("a");
    log.announced("a2", [{ id: "a2.1", device: "d", openedAtMs: 100, rooms: ["lobby"] }]);
    expect(log.where("d")).toBe("a2.1");
    expect(log.table.rooms.count("demo", "lobby")).toBe(1);
  });

  test("one whose device has connected elsewhere since is kicked", () => {
    const log = new FoldedLog();
    log.connected({ id: "b.1", device: "d", openedAtMs: 200 });
    expect(texts(log.announced("a2", [{ id: "a2.1", device: "d", openedAtMs: 100 }]))).toEqual([
      "kick a2.1",
    ]);
    expect(log.where("d")).toBe("b.1");
  });

  test("one that the log has already seen replaced is kicked, whatever its node's clock says", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d", openedAtMs: 900 });
    log.connected({ id: "b.1", device: "d", openedAtMs: 200 });
    expect(texts(log.announced("a", [{ id: "a.1", device: "d", openedAtMs: 900 }]))).toEqual([
      "kick a.1",
    ]);
    expect(log.where("d")).toBe("b.1");
  });

  test("what it leaves out is gone", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "a.2", device: "e" });
    log.announced("a", [{ id: "a.2", device: "e" }]);
    expect([log.where("d"), log.where("e")]).toEqual(["offline (transport-error)", "a.2"]);
  });

  test("in several parts, what none of them names is gone after the last", () => {
    const log = new FoldedLog();
    for (const counter of [1, 2, 3]) log.connected({ id: `a.${counter}`, device: `d${counter}` });
    log.announced("a", [{ id: "a.1", device: "d1" }], { last: false });
    expect(log.where("d3")).toBe("a.3");
    log.announced("a", [{ id: "a.2", device: "d2" }], { first: false });
    expect(["d1", "d2", "d3"].map((device) => log.where(device))).toEqual([
      "a.1",
      "a.2",
      "offline (transport-error)",
    ]);
  });

  test("an announcement whose beginning was missed removes nothing", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.announced("a", [], { first: false });
    expect(log.where("d")).toBe("a.1");
  });
});

describe("a node's digest", () => {
  test("passes while node and log agree", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "a.2", device: "e" });
    log.rooms("a.2", "e", ["go", "chess"]);
    const open = [
      { id: "a.2", device: "e", rooms: ["chess", "go"] },
      { id: "a.1", device: "d" },
    ];
    expect(log.digest("a", open)).toEqual([]);
  });

  test("that differs in a connection or a room makes the node announce", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    expect(texts(log.digest("a", []))).toEqual(["announce a"]);
    expect(texts(log.digest("a", [{ id: "a.1", device: "d", rooms: ["go"] }]))).toEqual([
      "announce a",
    ]);
  });

  test("still counts a connection whose kick is on its way, and has the kick sent again", () => {
    const log = new FoldedLog();
    log.connected({ id: "a.1", device: "d" });
    log.connected({ id: "b.1", device: "d" });
    expect(texts(log.digest("a", [{ id: "a.1", device: "d" }]))).toEqual(["kick a.1"]);
    log.disconnected("a.1", "d", "replaced");
    expect(log.digest("a", [])).toEqual([]);
  });
});

describe("an owner takes over", () => {
  test("records that the stored routes already contain are skipped", () => {
    const before = new FoldedLog();
    const checkpoint = before.table.progress();
    before.connected({ id: "a.1", device: "d" });
    before.connected({ id: "b.1", device: "d" });
    const log = FoldedLog.restored(checkpoint, [before.route("d")!]);
    expect(log.connected({ id: "a.1", device: "d" })).toEqual([]);
    expect(log.connected({ id: "b.1", device: "d" })).toEqual([]);
    expect(log.where("d")).toBe("b.1");
  });

  test("a digest from before the stored routes is not compared with them", () => {
    const before = new FoldedLog();
    before.connected({ id: "a.1", device: "d" });
    const checkpoint = before.table.progress();
    before.digest("a", [{ id: "a.1", device: "d" }]);
    before.disconnected("a.1", "d");
    const log = FoldedLog.restored(checkpoint, [before.route("d")!]);
    log.skip("a");
    expect(log.digest("a", [{ id: "a.1", device: "d" }])).toEqual([]);
  });
});

/** What an event says of a connection that is there. */
function ended<T extends object>(connectionId: string, device: string, what: T) {
  return { connectionId, app: "demo", device, ...what };
}
