import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
  type ConnectionEvent,
  type ConnectionState,
  type End,
  type Rules,
  type Session,
  transition,
} from "../../sdk/connection-state.ts";
import { orderEndpoints } from "../../sdk/endpoints.ts";
import { HoldfastSdkError } from "../../sdk/error.ts";

const ADMISSION = {
  token: "t1",
  expiresAtMs: 1_000_000,
  endpoints: [
    { url: "ws://a", weight: 2 },
    { url: "ws://b", weight: 1 },
  ],
  afterMs: 0,
};
const SESSION: Session = {
  connectionId: "n-1.1",
  node: "n-1",
  heartbeatMs: 30_000,
  resumed: false,
  maxFrameBytes: 65_536,
  idleMs: 90_000,
};

let rules: Rules;

beforeEach(() => {
  let id = 0;
  rules = {
    nowMs: 0,
    random: () => 0.5,
    nextId: () => ++id,
    backoff: { baseMs: 1_000, capMs: 30_000 },
    order: (advised, endpoints) =>
      orderEndpoints(
        advised,
        endpoints,
        () => true,
        () => 0.5,
      ),
  };
});

const end = (code: number, more: Partial<End> = {}): End => {
  return { code, reason: "", afterMs: 0, advised: [], ...more };
};

/** Steps through events; an event without id is about whatever the state waits for now. */
type Step =
  | ConnectionEvent
  | ({ [K in "type"]: ConnectionEvent["type"] } & Record<string, unknown>);

function run(state: ConnectionState, ...steps: Step[]): ConnectionState {
  return steps.reduce((now: ConnectionState, step) => {
    const id = "id" in now ? now.id : 0;
    return transition(now, { id, ...step } as ConnectionEvent, rules);
  }, state);
}

const IDLE: ConnectionState = { name: "idle" };
const TO_CONNECTING = [{ type: "start" }, { type: "admitted", admission: ADMISSION }] as const;
const TO_ONLINE = [
  ...TO_CONNECTING,
  { type: "opened" },
  { type: "welcomed", session: SESSION },
] as const;

describe("the way to online", () => {
  test("goes by admission, connection and login", () => {
    expect(run(IDLE, ...TO_CONNECTING.slice(0, 1)).name).toBe("admitting");
    expect(run(IDLE, ...TO_CONNECTING)).toMatchObject({ name: "connecting", url: "ws://a" });
    expect(run(IDLE, ...TO_ONLINE.slice(0, 3)).name).toBe("logging-in");
    expect(run(IDLE, ...TO_ONLINE)).toMatchObject({ name: "online", session: SESSION });
  });

  test("waits a random time after the first failure already, asks Admit again, and takes another access point", () => {
    const second = run(IDLE, ...TO_CONNECTING, { type: "ended", end: end(1006) });
    expect(second).toMatchObject({ name: "waiting", admission: undefined, attempt: 1 });
    expect(second).toMatchObject({ delayMs: 500, told: false });
    const admitting = run(second, { type: "due" });
    expect(admitting.name).toBe("admitting");
    const third = run(admitting, { type: "admitted", admission: ADMISSION });
    expect(third).toMatchObject({ name: "connecting", url: "ws://b" });
    const again = run(
      third,
      { type: "ended", end: end(1006) },
      { type: "due" },
      { type: "admitted", admission: ADMISSION },
    );
    expect(again).toMatchObject({ name: "connecting", url: "ws://a", attempt: 2 });
  });

  test("goes by the former admission while Admit cannot be asked", () => {
    const error = new HoldfastSdkError("admission", "down");
    const waiting = run(
      IDLE,
      ...TO_CONNECTING,
      { type: "ended", end: end(1006) },
      { type: "due" },
      { type: "admission-failed", error },
    );
    expect(run(waiting, { type: "due" })).toMatchObject({ name: "connecting", url: "ws://b" });
    rules = { ...rules, nowMs: ADMISSION.expiresAtMs };
    expect(run(waiting, { type: "due" }).name).toBe("admitting");
  });

  test("waits for its turn when Admit gives it one, and that is no failure", () => {
    const admission = { ...ADMISSION, afterMs: 7_000 };
    const waiting = run(IDLE, { type: "start" }, { type: "admitted", admission });
    expect(waiting).toMatchObject({ name: "waiting", delayMs: 7_000, told: true, attempt: 0 });
    expect(run(waiting, { type: "network-back" })).toBe(waiting);
    expect(run(waiting, { type: "due" })).toMatchObject({ name: "connecting", url: "ws://a" });
  });

  test("waits as long as Admit asks for when it refuses", () => {
    const error = new HoldfastSdkError("admission", "busy", { retryAfterMs: 5_000 });
    const waiting = run(IDLE, { type: "start" }, { type: "admission-failed", error });
    expect(waiting).toMatchObject({ name: "waiting", delayMs: 5_500, told: true });
  });

  test("waits longer with every failure", () => {
    const error = new HoldfastSdkError("admission", "down");
    const failed = { type: "admission-failed", error } as const;
    const first = run(IDLE, { type: "start" }, failed);
    const second = run(first, { type: "due" }, failed);
    const third = run(second, { type: "due" }, failed);
    expect([first, second, third]).toMatchObject([
      { delayMs: 500 },
      { delayMs: 1_000 },
      { delayMs: 2_000 },
    ]);
  });

  test("goes on soon when the network is back, but not at once with everybody else's", () => {
    const patient = { ...rules, backoff: { baseMs: 60_000, capMs: 60_000 } };
    rules = patient;
    const waiting = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(1006) });
    expect(waiting).toMatchObject({ name: "waiting", delayMs: 30_000 });
    const back = run(waiting, { type: "network-back" });
    expect(back).toMatchObject({ name: "waiting", delayMs: 500 });
    expect(run(back, { type: "due" }).name).toBe("connecting");
  });

  test("does not cut a wait short that the gateway asked for, when the network is back", () => {
    const advised = { type: "ended", end: end(4004, { afterMs: 20_000 }) } as const;
    const waiting = run(IDLE, ...TO_ONLINE, advised);
    expect(run(waiting, { type: "network-back" })).toBe(waiting);
  });

  test("ends when the app or the device is refused for good", () => {
    const error = new HoldfastSdkError("admission", "no such app", { final: true });
    const closed = run(IDLE, { type: "start" }, { type: "admission-failed", error });
    expect(closed).toEqual({ name: "closed", cause: error });
  });

  test("waits when there is no access point that this platform can use", () => {
    const empty = { ...ADMISSION, endpoints: [] };
    const state = run(IDLE, { type: "start" }, { type: "admitted", admission: empty });
    expect(state).toMatchObject({ name: "waiting", cause: { code: "admission" } });
  });
});

describe("when an online connection ends", () => {
  test("4000-4099: reconnects with the same token, after the advised time, to the advised places first", () => {
    const advice = { afterMs: 4_000, advised: ["ws://x"] };
    const waiting = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(4099, advice) });
    expect(waiting).toMatchObject({ name: "waiting", delayMs: 4_500, admission: ADMISSION });
    expect(run(waiting, { type: "due" })).toMatchObject({
      name: "connecting",
      url: "ws://x",
    });
  });

  test("4100-4199: gets a new token first", () => {
    const waiting = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(4150) });
    expect(run(waiting, { type: "due" }).name).toBe("admitting");
  });

  test("4200-4299: stays closed, and says with which code", () => {
    const closed = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(4299, { reason: "bye" }) });
    expect(closed).toMatchObject({
      name: "closed",
      cause: { code: "closed", closeCode: 4299, message: "bye" },
    });
    expect(run(closed, { type: "start" }, { type: "network-back" }, { type: "due" })).toBe(closed);
  });

  test("any other code: reconnects", () => {
    for (const code of [1000, 1001, 1006, 1011, 3000, 4300, 4999]) {
      const state = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(code) });
      expect(state.name).toBe("waiting");
    }
  });

  test("a token about to expire is not used again", () => {
    const waiting = run(IDLE, ...TO_ONLINE, { type: "ended", end: end(4000) });
    rules = { ...rules, nowMs: ADMISSION.expiresAtMs - 5_000 };
    expect(run(waiting, { type: "due" }).name).toBe("admitting");
  });

  test("a connection that did not last counts as a failure, one that did starts afresh", () => {
    const lost = { type: "ended", end: end(1006) } as const;
    const welcomed = [{ type: "due" }, { type: "opened" }, { type: "welcomed", session: SESSION }];
    const again = run(run(IDLE, ...TO_ONLINE, lost), ...(welcomed as Step[]));
    expect(run(again, lost)).toMatchObject({ attempt: 2, delayMs: 1_000 });
    rules = { ...rules, nowMs: 10_000 };
    expect(run(again, lost)).toMatchObject({ attempt: 1, delayMs: 500 });
  });
});

describe("on a live connection", () => {
  test("a later Welcome gives it a new id and changes nothing else", () => {
    const before = run(IDLE, ...TO_ONLINE);
    const session = { ...SESSION, connectionId: "n-2.1", node: "n-2" };
    expect(run(before, { type: "welcomed", session })).toEqual({ ...before, session });
  });

  test("a drained node's connection is used until its successor is online", () => {
    const draining = run(IDLE, ...TO_ONLINE, {
      type: "draining",
      withinMs: 10_000,
      advised: ["ws://x"],
    });
    if (draining.name !== "online") throw new Error(draining.name);
    expect(draining.successor).toMatchObject({ name: "waiting", delayMs: 2_500 });
    const successorId = draining.successor?.id;
    const connecting = run(draining, { type: "due", id: successorId });
    expect(connecting).toMatchObject({
      name: "online",
      url: "ws://a",
      successor: { name: "connecting", url: "ws://x" },
    });
    const id = connecting.name === "online" ? connecting.successor?.id : undefined;
    const moved = run(
      connecting,
      { type: "opened", id },
      { type: "welcomed", id, session: SESSION },
    );
    expect(moved).toMatchObject({ name: "online", url: "ws://x", id, successor: undefined });
  });

  test("the successor's login may end the old connection as replaced", () => {
    const id = successorLoggingIn();
    expect(run(id.state, { type: "ended", id: id.old, end: end(4210) })).toMatchObject({
      name: "logging-in",
      url: "ws://x",
    });
    expect(run(id.state, { type: "ended", id: id.old, end: end(4211) }).name).toBe("closed");
  });

  test("a successor that is refused for good leaves the old connection in use", () => {
    const { state, successor } = successorLoggingIn();
    expect(run(state, { type: "ended", id: successor, end: end(4202) })).toMatchObject({
      name: "online",
      url: "ws://a",
      successor: undefined,
    });
  });

  function successorLoggingIn(): { state: ConnectionState; old: number; successor: number } {
    let state = run(IDLE, ...TO_ONLINE, { type: "draining", withinMs: 0, advised: ["ws://x"] });
    for (const type of ["due", "opened"] as const) {
      state = run(state, { type, id: state.name === "online" ? state.successor?.id : 0 });
    }
    if (state.name !== "online" || state.successor === undefined) throw new Error(state.name);
    return { state, old: state.id, successor: state.successor.id };
  }
});

test("whatever happens in whatever order, a closed connection stays closed and ids are not used twice", () => {
  const id = fc.integer({ min: 0, max: 12 });
  const event: fc.Arbitrary<ConnectionEvent> = fc.oneof(
    fc.constantFrom<ConnectionEvent>({ type: "start" }, { type: "network-back" }),
    fc.record({ type: fc.constant("due" as const), id }),
    fc.record({ type: fc.constant("opened" as const), id }),
    fc.record({ type: fc.constant("admitted" as const), id, admission: fc.constant(ADMISSION) }),
    fc.record({ type: fc.constant("welcomed" as const), id, session: fc.constant(SESSION) }),
    fc.record({
      type: fc.constant("draining" as const),
      id,
      withinMs: fc.nat(60_000),
      advised: fc.constantFrom([], ["ws://x"]),
    }),
    fc.record({
      type: fc.constant("ended" as const),
      id,
      end: fc.constantFrom(end(1006), end(4000), end(4100), end(4210)),
    }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      let lastId = 0;
      const counted = { ...rules, nextId: () => ++lastId };
      let state: ConnectionState = IDLE;
      for (const next of events) {
        const before: ConnectionState = state;
        const idsBefore = idsOf(before);
        const newest = lastId;
        state = transition(before, next, counted);
        if (before.name === "closed") expect(state).toBe(before);
        // A state either waits for what it waited for, or for something new.
        for (const id of idsOf(state)) expect(idsBefore.has(id) || id > newest).toBe(true);
        if ("id" in next && !idsBefore.has(next.id)) expect(state).toBe(before);
      }
    }),
    { seed: 20_26, numRuns: 500 },
  );
});

function idsOf(state: ConnectionState): Set<number> {
  if (!("id" in state)) return new Set();
  const successor = state.name === "online" ? state.successor : undefined;
  return new Set([state.id, ...(successor === undefined ? [] : [successor.id])]);
}
