import { expect, test } from "vitest";
import { backoffDelay } from "../../sdk/backoff.ts";
import { orderEndpoints } from "../../sdk/endpoints.ts";
import { seededRandom } from "../support/seeded-random.ts";

const BACKOFF = { baseMs: 500, capMs: 30_000 };
const anyUrl = () => true;

test("waits lie anywhere below a bound that doubles with every attempt", () => {
  expect(backoffDelay(BACKOFF, 0, () => 0)).toBe(0);
  expect(backoffDelay(BACKOFF, 0, () => 0.5)).toBe(250);
  expect(backoffDelay(BACKOFF, 3, () => 0.5)).toBe(2_000);
});

test("no wait is longer than the cap, however many attempts failed", () => {
  expect(backoffDelay(BACKOFF, 2_000, () => 0.999_999)).toBeLessThan(30_000);
});

test("a thousand clients that lost one node come back evenly over the bound", () => {
  const random = seededRandom(7);
  const quarters = [0, 0, 0, 0];
  for (let client = 0; client < 1_000; client += 1) {
    const delay = backoffDelay(BACKOFF, 2, random);
    quarters[Math.floor(delay / 500)]! += 1;
  }
  for (const count of quarters) expect(count).toBeGreaterThan(200);
});

test("the gateway's advice comes first, as advised, and nothing is tried twice", () => {
  const endpoints = [
    { url: "ws://a", weight: 1 },
    { url: "ws://b", weight: 1 },
  ];
  const order = orderEndpoints(["ws://x", "ws://b"], endpoints, anyUrl, seededRandom(1));
  expect(order).toEqual(["ws://x", "ws://b", "ws://a"]);
});

test("what the platform cannot open is left out", () => {
  const endpoints = [
    { url: "tcp://a", weight: 100 },
    { url: "ws://b", weight: 1 },
  ];
  const order = orderEndpoints(["tcp://x"], endpoints, (url) => url.startsWith("ws"), Math.random);
  expect(order).toEqual(["ws://b"]);
});

test("an access point of three times the weight comes first about three times as often", () => {
  const random = seededRandom(3);
  const endpoints = [
    { url: "heavy", weight: 75 },
    { url: "light", weight: 25 },
    { url: "none", weight: 0 },
  ];
  let heavyFirst = 0;
  for (let round = 0; round < 2_000; round += 1) {
    const order = orderEndpoints([], endpoints, anyUrl, random);
    if (order[0] === "heavy") heavyFirst += 1;
    expect(order[2]).toBe("none");
  }
  expect(heavyFirst / 2_000).toBeCloseTo(0.75, 1);
});
