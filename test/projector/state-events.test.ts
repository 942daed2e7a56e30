import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stateEvents } from "../../internal/projector/fold/state-events.ts";
import type { Route } from "../../streams/records.ts";

function route(about: Partial<Route> = {}): Route {
  return {
    app: "demo",
    device: "d1",
    user: "ann",
    online: true,
    connection: "n1-a.1",
    node: "n1-a",
    platform: "web",
    appVersion: "1",
    address: "192.0.2.1",
    businesses: [],
    since: 1_000,
    lastSeen: 1_000,
    rooms: [],
    sequence: 1,
    reason: "",
    loginNumber: 0,
    ...about,
  };
}

const offline = (about: Partial<Route> = {}) =>
  route({ online: false, lastSeen: 4_000, sequence: 2, reason: "client-closed", ...about });

const told = (before: Route | undefined, after: Route) =>
  stateEvents(3, before, after).map(({ event, connection, room, business, reason }) =>
    [event, connection, room || business, reason].filter((part) => part !== "").join(" "),
  );

describe("business servers are told", () => {
  test("that a device came online, with who and where it is", () => {
    const [event, ...more] = stateEvents(3, undefined, route());
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      event: "online",
      app: "demo",
      device: "d1",
      user: "ann",
      connection: "n1-a.1",
      node: "n1-a",
      reason: "",
      at: 1_000,
      durationMs: 0,
      sequence: 1,
    });
  });

  test("that it went offline, why, and how long it was there", () => {
    const [event] = stateEvents(3, route(), offline({ reason: "node-down" }));
    expect(event).toMatchObject({
      event: "offline",
      connection: "n1-a.1",
      reason: "node-down",
      at: 4_000,
      durationMs: 3_000,
      sequence: 2,
    });
  });

  test("of the end of the old connection before the new one, when a device connects again", () => {
    const next = route({ connection: "n2-a.1", node: "n2-a", sequence: 2 });
    expect(told(route(), next)).toEqual(["offline n1-a.1 replaced", "online n2-a.1"]);
  });

  test("who enters and leaves, also with the connection", () => {
    expect(told(undefined, route({ rooms: ["a"] }))).toEqual(["online n1-a.1", "enter n1-a.1 a"]);
    const before = route({ rooms: ["a", "b"] });
    expect(told(before, route({ rooms: ["b", "c"], sequence: 2 }))).toEqual([
      "leave n1-a.1 a",
      "enter n1-a.1 c",
    ]);
    expect(told(before, offline())).toEqual([
      "leave n1-a.1 a client-closed",
      "leave n1-a.1 b client-closed",
      "offline n1-a.1 client-closed",
    ]);
  });

  test("in a copy for each business that the device uses", () => {
    const businesses = ["chat", "news"];
    expect(told(undefined, route({ businesses }))).toEqual([
      "online n1-a.1",
      "online n1-a.1 chat",
      "online n1-a.1 news",
    ]);
    expect(told(route({ businesses }), offline({ businesses }))).toEqual([
      "offline n1-a.1 client-closed",
      "offline n1-a.1 chat client-closed",
      "offline n1-a.1 news client-closed",
    ]);
  });

  test("nothing when a device that is offline stays so, or a route is only written again", () => {
    expect(told(undefined, offline())).toEqual([]);
    expect(told(offline(), offline({ sequence: 3 }))).toEqual([]);
    expect(told(route(), route({ sequence: 2 }))).toEqual([]);
  });

  test("never of a negative time, when clocks differ", () => {
    const [event] = stateEvents(3, route({ since: 9_000 }), offline());
    expect(event?.durationMs).toBe(0);
  });
});

test("whatever the routes, no two events of a change have the same id, and the same change has the same ids", () => {
  const rooms = fc.uniqueArray(fc.constantFrom("a", "b", "c"));
  const any = fc.record({
    online: fc.boolean(),
    connection: fc.constantFrom("n1-a.1", "n1-a.2"),
    rooms,
    businesses: rooms,
  });
  fc.assert(
    fc.property(fc.option(any, { nil: undefined }), any, (before, after) => {
      const change = () =>
        stateEvents(
          1,
          before && route(before),
          route({ ...after, rooms: after.online ? after.rooms : [], sequence: 2 }),
        );
      const ids = change().map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(change().map(({ id }) => id)).toEqual(ids);
    }),
  );
});
