import { describe, expect, test } from "vitest";
import { checkConnectionState } from "./check-connection-state.ts";
import { checkMustArrive } from "./check-must-arrive.ts";
import { checkRoutes } from "./check-routes.ts";
import type { Entry } from "./history.ts";

const accepted = (device: string, message: string): Entry => ({ did: "accepted", device, message });
const expired = (device: string, message: string): Entry => ({ did: "expired", device, message });
const received = (device: string, message: string, meantFor = `${device},z`): Entry => ({
  did: "received",
  device,
  message,
  meantFor,
  sequence: 1,
});
const online = (device: string, connection: string): Entry => ({
  did: "online",
  device,
  connection,
});
const offline = (device: string, connection: string): Entry => ({
  did: "offline",
  device,
  connection,
});
const sawOnline = (device: string, connection: string): Entry => ({
  did: "saw-online",
  device,
  connection,
});
const sawOffline = (device: string, connection: string): Entry => ({
  did: "saw-offline",
  device,
  connection,
});

describe("must-arrive", () => {
  const clean = { duplicates: 0, outOfOrder: 0, lost: 0, misdelivered: 0, problems: [] };

  test("all is well when everything accepted was received in order or expired", () => {
    const history = [
      accepted("a", "m1"),
      accepted("b", "m1"),
      accepted("a", "m2"),
      accepted("a", "m3"),
      received("a", "m1"),
      received("b", "m1"),
      received("a", "m3"),
      expired("a", "m2"),
    ];
    expect(checkMustArrive(history)).toEqual({
      ...clean,
      accepted: 4,
      delivered: 3,
      expired: 1,
      excused: 0,
    });
  });

  test("a message that was accepted while a server's tail may have been lost may arrive or not, but still only once", () => {
    const at = (atMs: number, entry: Entry): Entry => ({ ...entry, at: atMs });
    const lostTails = [{ fromMs: 100, toMs: 200 }];
    const history = [
      at(99, accepted("a", "m1")),
      at(100, accepted("a", "m2")),
      at(200, accepted("a", "m3")),
      at(201, accepted("a", "m4")),
      received("a", "m2"),
      received("a", "m2"),
    ];
    expect(checkMustArrive(history, lostTails)).toMatchObject({
      accepted: 2,
      excused: 2,
      lost: 2,
      duplicates: 1,
    });
  });

  test("a message that was delivered before its sender gave up on it is no expired one", () => {
    const history = [accepted("a", "m1"), received("a", "m1"), expired("a", "m1")];
    expect(checkMustArrive(history)).toMatchObject({ delivered: 1, expired: 0 });
  });

  test("a message whose acceptance the sender never learnt may arrive or not", () => {
    expect(checkMustArrive([received("a", "m1")])).toMatchObject({ ...clean, accepted: 0 });
  });

  test("a message that never came is lost", () => {
    expect(checkMustArrive([accepted("a", "m1")])).toMatchObject({
      lost: 1,
      problems: ["lost: a never got m1"],
    });
  });

  test("a message that another device got is lost for the one it was for", () => {
    const history = [accepted("a", "m1"), received("b", "m1", "a")];
    expect(checkMustArrive(history)).toMatchObject({ lost: 1, misdelivered: 1 });
  });

  test("a message that came again is a duplicate", () => {
    const history = [accepted("a", "m1"), received("a", "m1"), received("a", "m1")];
    expect(checkMustArrive(history)).toMatchObject({ delivered: 1, duplicates: 1 });
  });

  test("a message that came after a later one is out of order", () => {
    const history = [
      accepted("a", "m1"),
      accepted("a", "m2"),
      received("a", "m2"),
      received("a", "m1"),
    ];
    expect(checkMustArrive(history)).toMatchObject({ delivered: 2, outOfOrder: 1, lost: 0 });
  });

  test("devices have orders of their own", () => {
    const history = [
      accepted("a", "m1"),
      accepted("b", "m2"),
      received("b", "m2"),
      received("a", "m1"),
    ];
    expect(checkMustArrive(history)).toMatchObject(clean);
  });
});

describe("connection state", () => {
  const good = [
    online("a", "c1"),
    offline("a", "c1"),
    online("a", "c2"),
    online("b", "c3"),
    offline("b", "c3"),
    sawOnline("a", "c1"),
    sawOffline("a", "c1"),
    sawOnline("a", "c2"),
    sawOnline("b", "c3"),
    sawOffline("b", "c3"),
  ];
  const problemsOf = (history: Entry[]) => checkConnectionState(history).problems;

  test("all is well when events take turns and end with what is connected", () => {
    expect(checkConnectionState(good)).toEqual({ online: 3, offline: 2, problems: [] });
  });

  test("a connection that came and went before anybody saw it is no fault", () => {
    expect(problemsOf([...good, online("c", "c4"), offline("c", "c4")])).toEqual([]);
  });

  test("a device that was left online although it is gone is found", () => {
    expect(problemsOf(good.slice(0, -1))).toEqual(["b: is not connected, but c3 was left online"]);
  });

  test("a connected device that nobody was told of is found", () => {
    expect(problemsOf([...good, online("c", "c4")])).toEqual([
      "c: is connected, but was left offline",
    ]);
  });

  test("a device that was left online with an old connection is found", () => {
    expect(problemsOf([...good, offline("a", "c2"), online("a", "c5")])).toEqual([
      "a: is connected as c5, but was left online as c2",
    ]);
  });

  test("an online that no offline came between is found", () => {
    const history = [online("a", "c2"), sawOnline("a", "c1"), sawOnline("a", "c2")];
    expect(problemsOf(history)).toEqual(["a: c2 came online while c1 was"]);
  });

  test("an offline of a connection that is not online is found", () => {
    const history = [sawOnline("a", "c1"), sawOffline("a", "c0")];
    expect(problemsOf(history)).toEqual(["a: c0 went offline while c1 was online"]);
  });

  test("an offline that came twice is found", () => {
    const history = [sawOnline("a", "c1"), sawOffline("a", "c1"), sawOffline("a", "c1")];
    expect(problemsOf(history)).toEqual(["a: c1 went offline while nothing was online"]);
  });

  test("what happened to a device while a server's tail may have been lost is no fault, to others it is", () => {
    const lost: Entry[] = [{ ...online("c", "c4"), at: 150 }, online("d", "c5")];
    const lostTails = [{ fromMs: 100, toMs: 200 }];
    expect(checkConnectionState([...good, ...lost], lostTails).problems).toEqual([
      "d: is connected, but was left offline",
    ]);
  });

  test("a connection that came online twice is found", () => {
    const history = [
      online("a", "c1"),
      sawOnline("a", "c1"),
      sawOffline("a", "c1"),
      sawOnline("a", "c1"),
    ];
    expect(problemsOf(history)).toEqual(["a: c1 came online twice"]);
  });
});

describe("routes", () => {
  const history = [online("a", "n-1.1"), online("b", "n-1.2"), offline("b", "n-1.2")];
  const a = { device: "a", online: true, connectionId: "n-1.1", node: "n-1" };

  test("all is well when each device is shown as it is", () => {
    expect(checkRoutes(history, [a, { device: "b" }])).toEqual([]);
  });

  test.each([
    ["a connected device shown offline", { ...a, online: false }, "shown offline"],
    ["an old connection", { ...a, connectionId: "n-1.0" }, "shown as n-1.0"],
    ["the wrong node", { ...a, node: "n-2" }, "shown at node n-2"],
  ])("%s is found", (_, shown, problem) => {
    expect(checkRoutes(history, [shown, { device: "b" }])).toEqual([
      expect.stringContaining(problem),
    ]);
  });

  test("a device that is gone and shown online is found", () => {
    const ghost = { device: "b", online: true, connectionId: "n-1.2", node: "n-1" };
    expect(checkRoutes(history, [a, ghost])).toEqual([
      "b: is not connected, but shown online as n-1.2",
    ]);
  });

  test("a device that is not shown at all is found", () => {
    expect(checkRoutes(history, [a])).toEqual(["b: has no route"]);
  });
});
