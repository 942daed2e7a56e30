import { afterEach, expect, test } from "vitest";
import type { Admission } from "../../sdk/admission.ts";
import { keepTokenFresh } from "../../sdk/token-refresh.ts";
import { TestSurroundings } from "./surroundings.ts";

const surroundings = new TestSurroundings();
let stop = () => {};

afterEach(() => stop());

function start(lifetimeMs: number, failures = 0) {
  const asked: number[] = [];
  const refreshed: string[] = [];
  const admission = (token: string): Admission => ({
    token,
    expiresAtMs: surroundings.now() + lifetimeMs,
    endpoints: [],
    afterMs: 0,
  });
  const startedMs = surroundings.now();
  stop = keepTokenFresh({
    admission: admission("token-0"),
    admit: async () => {
      asked.push(surroundings.now() - startedMs);
      if (asked.length <= failures) throw new Error("away");
      return admission(`token-${asked.length}`);
    },
    surroundings,
    backoff: { baseMs: 1_000, capMs: 30_000 },
    refreshed: ({ token }) => refreshed.push(token),
  });
  return { asked, refreshed };
}

/** Moves the clock in steps, letting promises settle between them. */
async function pass(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    surroundings.clock.advance(1_000);
    await new Promise((settled) => setImmediate(settled));
  }
}

test("a token is renewed well before it expires, again and again", async () => {
  const { asked, refreshed } = start(600_000);
  await pass(1_000);
  expect(asked).toEqual([450_000, 900_000]);
  expect(refreshed).toEqual(["token-1", "token-2"]);
});

test("a failed renewal is tried again before the token expires", async () => {
  const { asked, refreshed } = start(600_000, 2);
  await pass(599);
  expect(asked.length).toBe(3);
  expect(refreshed).toEqual(["token-3"]);
});

test("clocks that differ do not make a client ask without pause", async () => {
  const { asked } = start(-3_600_000);
  await pass(60);
  expect(asked.length).toBeLessThanOrEqual(12);
});

test("a token without an end is not renewed, and a stopped renewal renews nothing", async () => {
  const forever = start(Number.POSITIVE_INFINITY);
  await pass(10);
  expect(forever.asked).toEqual([]);
  const stopped = start(60_000);
  stop();
  await pass(60);
  expect(stopped.asked).toEqual([]);
});
