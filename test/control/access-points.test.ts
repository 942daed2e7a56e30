import { describe, expect, it } from "vitest";
import { type AccessPoint, chooseAccessPoints } from "../../internal/control/access-points.ts";

const ws = (node: string, connections = 0): AccessPoint => ({
  node,
  url: `ws://${node}/connect`,
  protocol: "websocket",
  connections,
});
const tcp = (node: string, connections = 0): AccessPoint => ({
  node,
  url: `tcp://${node}`,
  protocol: "tcp",
  connections,
});

/** The linear congruential generator of Numerical Recipes: the same numbers every time. */
function seeded(seed: number) {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

describe("the access points offered to a client", () => {
  it("are none when no node is live", () => {
    expect(chooseAccessPoints([], "web", Math.random)).toEqual([]);
  });

  it("leave out TCP for web pages", () => {
    const chosen = chooseAccessPoints([ws("a"), tcp("a")], "web", Math.random);
    expect(chosen.map((point) => point.protocol)).toEqual(["websocket"]);
  });

  it("offer both protocols to native apps, WebSocket first", () => {
    const chosen = chooseAccessPoints([tcp("a"), ws("a")], "ios", Math.random);
    expect(chosen.map((point) => point.protocol)).toEqual(["websocket", "tcp"]);
  });

  it("name an address that several workers share once", () => {
    const chosen = chooseAccessPoints(
      [
        { ...ws("a"), node: "w1" },
        { ...ws("a"), node: "w2" },
      ],
      "web",
      Math.random,
    );
    expect(chosen).toHaveLength(1);
  });

  it("prefer less loaded nodes in proportion, and never send everybody to one", () => {
    const random = seeded(7);
    let emptyFirst = 0;
    for (let i = 0; i < 2_000; i++) {
      const first = chooseAccessPoints([ws("full", 9_900), ws("empty", 0)], "web", random)[0];
      if (first?.node === "empty") emptyFirst++;
    }
    expect(emptyFirst).toBeGreaterThan(1_900);
    expect(emptyFirst).toBeLessThan(2_000);
  });

  it("are few even when there are many nodes", () => {
    const many = Array.from({ length: 50 }, (_, i) => ws(`n${i}`));
    expect(chooseAccessPoints(many, "web", Math.random)).toHaveLength(4);
  });
});
