import { expect, test } from "vitest";
import { Heartbeat } from "../../sdk/heartbeat.ts";
import { TestSurroundings } from "./surroundings.ts";

function start(options: { heartbeatMs?: number; idleMs?: number } = {}) {
  const surroundings = new TestSurroundings();
  const pings: { atMs: number; foreground: boolean }[] = [];
  const beats: { rttMs: number; nextMs: number }[] = [];
  let deaths = 0;
  const heartbeat = new Heartbeat({
    surroundings,
    heartbeatMs: 30_000,
    idleMs: 90_000,
    ...options,
    ping: (foreground) => pings.push({ atMs: surroundings.clock.monotonic(), foreground }),
    beat: (rttMs, nextMs) => beats.push({ rttMs, nextMs }),
    dead: () => {
      deaths += 1;
    },
  });
  return { surroundings, pings, beats, heartbeat, deaths: () => deaths };
}

test("pings as often as Welcome asks, and tells the round trip", () => {
  const { surroundings, pings, beats, heartbeat } = start();
  surroundings.clock.advance(40);
  heartbeat.pong(0);
  surroundings.clock.advance(30_000);
  expect(pings.map(({ atMs }) => atMs)).toEqual([0, 30_040]);
  expect(beats).toEqual([{ rttMs: 40, nextMs: 30_000 }]);
});

test("follows the interval of the latest Pong", () => {
  const { surroundings, pings, heartbeat } = start();
  heartbeat.pong(240);
  surroundings.clock.advance(239_999);
  expect(pings).toHaveLength(1);
  surroundings.clock.advance(1);
  expect(pings).toHaveLength(2);
});

test("asks again with growing waits before it gives a connection up", () => {
  const { surroundings, pings, deaths } = start();
  surroundings.clock.advance(13_999);
  expect(pings.map(({ atMs }) => atMs)).toEqual([0, 2_000, 6_000]);
  expect(deaths()).toBe(0);
  surroundings.clock.advance(1);
  expect(deaths()).toBe(1);
  surroundings.clock.advance(600_000);
  expect(pings).toHaveLength(3);
  expect(deaths()).toBe(1);
});

test("a late pong saves the connection, and its round trip is not guessed", () => {
  const { surroundings, beats, heartbeat, deaths } = start();
  surroundings.clock.advance(7_000);
  heartbeat.pong(0);
  surroundings.clock.advance(20_000);
  expect(deaths()).toBe(0);
  expect(beats).toEqual([]);
});

test("goes slower in the background, within the gateway's idle limit, and says so", () => {
  const { surroundings, pings, heartbeat } = start();
  heartbeat.pong(0);
  surroundings.inForeground = false;
  heartbeat.probe();
  expect(pings.at(-1)).toEqual({ atMs: 0, foreground: false });
  heartbeat.pong(0);
  surroundings.clock.advance(53_999);
  expect(pings).toHaveLength(2);
  surroundings.clock.advance(1);
  expect(pings).toHaveLength(3);
});

test("a stopped heartbeat does nothing more", () => {
  const { surroundings, pings, heartbeat, deaths } = start();
  heartbeat.stop();
  surroundings.clock.advance(600_000);
  expect(pings).toHaveLength(1);
  expect(deaths()).toBe(0);
});
