/** Every frame in every state, against a real session. docs/PROTOCOL.md has the same table. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  ALLOWED,
  type FrameName,
  next,
  type SessionEvent,
  type SessionState,
} from "../../../internal/access/session/session-state.ts";
import { CLOSE } from "../../../internal/status/close.ts";
import type { ClientFrameInit, TestClient } from "../../support/client.ts";
import { eventually } from "../../support/eventually.ts";
import { tokenOf } from "../fakes.ts";
import { startNode, type TestNode } from "../node.ts";
import { drain, undrain } from "../orders.ts";

const FRAMES: Record<FrameName, ClientFrameInit> = {
  login: { login: { token: tokenOf({}) } },
  ping: { ping: { foreground: true } },
  uplink: { uplink: { business: "chat", requestId: "1" } },
  join: { join: { room: "lobby" } },
  leave: { leave: { room: "lobby" } },
  ack: { ack: { deliverySequence: 1n } },
  refresh: { refresh: { token: tokenOf({}) } },
  logout: { logout: {} },
};

const NAMES = Object.keys(FRAMES) as FrameName[];
const WORKING: FrameName[] = ["ping", "uplink", "join", "leave", "ack", "refresh", "logout"];

/** What the protocol promises, written down a second time. */
const EXPECTED: Record<SessionState, FrameName[]> = {
  "awaiting-login": ["login"],
  "logging-in": ["ping", "logout"],
  active: WORKING,
  draining: WORKING,
  closed: [],
};

const REACHABLE = ["awaiting-login", "logging-in", "active", "draining"] as const;

let at: TestNode;

beforeAll(async () => {
  at = await startNode();
});

afterAll(() => at[Symbol.asyncDispose]());

/** Takes back the drain of the node, which is where a draining session comes from. */
afterEach(() => at.log.events.order(undrain()));

/** A client whose session is in this state. */
async function clientIn(state: (typeof REACHABLE)[number]): Promise<TestClient> {
  switch (state) {
    case "awaiting-login":
      return at.connect();
    case "logging-in": {
      const client = await at.connect();
      client.send({ login: { token: "never" } });
      return client;
    }
    case "active":
      return (await at.login()).client;
    case "draining": {
      const { client } = await at.login();
      at.log.events.order(drain(60_000));
      await client.next("drain");
      return client;
    }
  }
}

describe.each(REACHABLE)("a session that is %s", (state) => {
  test.each(NAMES)("answers or refuses %s", async (name) => {
    const client = await clientIn(state);
    client.send(FRAMES[name]);
    if (!EXPECTED[state].includes(name)) {
      const close = await client.next("close");
      expect(close.code).toBe(CLOSE["not-allowed"].code);
      expect(close.reason).toContain(`${name} while `);
    } else if (name === "logout") {
      expect((await client.next("close")).code).toBe(CLOSE.logout.code);
    } else if (state === "awaiting-login") {
      await client.next("welcome");
    } else {
      // Still there, and still answering.
      client.send(FRAMES.ping);
      await client.next("pong");
    }
  });
});

test("a session that is closed lets every frame pass unheard", async () => {
  for (const name of NAMES) {
    const { client } = await at.login();
    client.send({ logout: {} });
    client.send(FRAMES[name]);
    expect((await client.next("close")).code).toBe(CLOSE.logout.code);
    await client.ended;
    expect(client.queue).toEqual([]);
  }
});

test("the table of allowed frames is what the protocol promises", () => {
  expect(ALLOWED).toEqual(EXPECTED);
});

describe("the transitions", () => {
  const expected: [SessionState, SessionEvent, SessionState][] = [
    ["awaiting-login", "login", "logging-in"],
    ["logging-in", "welcomed", "active"],
    ["active", "drain", "draining"],
    ["draining", "undrain", "active"],
    ["awaiting-login", "end", "closed"],
    ["logging-in", "end", "closed"],
    ["active", "end", "closed"],
    ["draining", "end", "closed"],
  ];
  const states: SessionState[] = ["awaiting-login", "logging-in", "active", "draining", "closed"];
  const events: SessionEvent[] = ["login", "welcomed", "drain", "undrain", "end"];

  test("are these and no others", () => {
    const found = states.flatMap((from) =>
      events.flatMap((event) => {
        const to = next(from, event);
        return to === undefined ? [] : [[from, event, to]];
      }),
    );
    expect(found.toSorted()).toEqual(expected.toSorted());
  });
});

test("a node that drains takes no logins until it is told otherwise", async () => {
  at.log.events.order(drain(60_000));
  const refused = await at.connect();
  refused.send(FRAMES.login);
  expect((await refused.next("close")).code).toBe(CLOSE["going-away"].code);
  at.log.events.order(undrain());
  await at.login();
  await eventually("ready again", () => at.node.ready());
});
