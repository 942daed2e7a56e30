import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "vitest";
import type { Link } from "../../internal/bus/contract.ts";
import { Hearing, TAKEOVER_MS, TICK_MS } from "../../internal/projector/hearing.ts";
import { MainLoop, STUCK_MS } from "../../internal/projector/heartbeat.ts";
import { Members } from "../../internal/projector/members.ts";
import { ProjectorBeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

class FakeLink implements Link {
  connected = true;
  watch() {
    return { stop() {} };
  }
}

let clock: VirtualClock;
let link: FakeLink;
let hearing: Hearing;
let members: Members;

beforeEach(() => {
  clock = new VirtualClock();
  link = new FakeLink();
  hearing = new Hearing(clock, link);
  members = new Members("me-1", clock, hearing);
  hearing.echo();
});

function beat(projector: string, ...declined: number[]): void {
  members.heard(create(ProjectorBeatSchema, { projector, declined }));
}

/** Time passes as it should, and these are heard. */
function pass(ms: number, options: { heard?: string[]; echo?: boolean } = {}): void {
  const { heard = [], echo = true } = options;
  for (let passed = 0; passed < ms; passed += TICK_MS) {
    clock.advance(TICK_MS);
    if (echo) hearing.echo();
    for (const projector of heard) beat(projector);
    hearing.tick();
    members.tick();
  }
}

const ids = () => members.list(new Set()).map(({ id }) => id);

describe("another projector", () => {
  test("counts once it was heard for two seconds", () => {
    pass(1_000, { heard: ["a-1"] });
    expect([ids(), members.isAlive("a-1")]).toEqual([["me-1"], true]);
    pass(2_000, { heard: ["a-1"] });
    expect(ids()).toEqual(["a-1", "me-1"]);
  });

  test("that a record names counts at once, and is over when it is not heard all the same", () => {
    members.named("a-1");
    expect(ids()).toEqual(["a-1", "me-1"]);
    pass(TAKEOVER_MS);
    members.named("a-1");
    expect([ids(), members.isAlive("a-1")]).toEqual([["me-1"], false]);
  });

  test("that is silent may be taken from after eight seconds", () => {
    pass(3_000, { heard: ["a-1"] });
    pass(TAKEOVER_MS - TICK_MS);
    expect(members.isAlive("a-1")).toBe(true);
    pass(TICK_MS);
    expect(members.isAlive("a-1")).toBe(false);
    pass(3_000, { heard: ["a-1"] });
    expect(ids()).toEqual(["a-1", "me-1"]);
  });

  test("says what it declines", () => {
    pass(3_000, { heard: ["a-1"] });
    beat("a-1", 4, 5);
    expect(members.tick()).toBe(true);
    expect([...(members.list(new Set())[0]?.declined ?? [])]).toEqual([4, 5]);
    beat("a-1", 5, 4);
    expect(members.tick()).toBe(false);
  });
});

describe("a judge counts no silence of others", () => {
  beforeEach(() => pass(3_000, { heard: ["a-1"] }));

  test("while its own main loop got no time", () => {
    for (let i = 0; i < 5; i++) {
      clock.stall(10_000);
      hearing.echo();
      hearing.tick();
      members.tick();
      expect(members.isAlive("a-1")).toBe(true);
    }
    pass(TAKEOVER_MS);
    expect(members.isAlive("a-1")).toBe(false);
  });

  test("while it does not hear itself", () => {
    pass(60_000, { echo: false });
    expect([members.isAlive("a-1"), hearing.deaf]).toEqual([true, true]);
    pass(TAKEOVER_MS + TICK_MS);
    expect(members.isAlive("a-1")).toBe(false);
  });

  test("while its link is down, and until the others can be back", () => {
    link.connected = false;
    pass(60_000);
    link.connected = true;
    pass(TAKEOVER_MS);
    expect(members.isAlive("a-1")).toBe(true);
    pass(5_000);
    expect(members.isAlive("a-1")).toBe(false);
  });
});

test("a pause of half the takeover time may have cost the ownership", () => {
  clock.stall(TAKEOVER_MS / 2 + 1);
  expect(hearing.wasFrozen).toBe(true);
  hearing.tick();
  expect(hearing.wasFrozen).toBe(false);
});

test("a main loop that is late still moves, one that is stuck does not, and may again", () => {
  const mainLoop = new MainLoop(0);
  expect(mainLoop.moves(1, 1_000)).toBe(true);
  expect(mainLoop.moves(1, 1_000 + STUCK_MS - 1)).toBe(true);
  expect(mainLoop.moves(1, 1_000 + STUCK_MS)).toBe(false);
  expect(mainLoop.moves(2, 1_000 + STUCK_MS)).toBe(true);
});
