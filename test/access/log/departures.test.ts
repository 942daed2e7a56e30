import { beforeEach, describe, expect, test } from "vitest";
import type { LoggedConnection } from "../../../internal/access/log/connection-log.ts";
import { Departures } from "../../../internal/access/log/departures.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const PACE = { burst: 10, perTick: 4 };

let clock: VirtualClock;
let written: number[];
let departures: Departures;

beforeEach(() => {
  clock = new VirtualClock();
  written = [];
  departures = new Departures({
    clock,
    pace: PACE,
    write: ({ counter }) => written.push(counter),
  });
});

function end(from: number, to: number): void {
  for (let counter = from; counter <= to; counter++) {
    departures.add({ counter } as LoggedConnection, "transport-error");
  }
}

describe("the ends of connections", () => {
  test("are written at once while they are few", () => {
    end(1, 10);
    expect(written).toHaveLength(10);
    clock.advance(50);
    end(11, 20);
    expect(written).toHaveLength(20);
  });

  test("are written at a pace when many come together, in their order", () => {
    end(1, 30);
    expect(written).toHaveLength(10);
    clock.advance(50);
    expect(written).toHaveLength(14);
    // Later ones do not overtake.
    end(31, 31);
    clock.advance(1_000);
    expect(written).toEqual(Array.from({ length: 31 }, (_, i) => i + 1));
    expect(departures.size).toBe(0);
  });

  test("are all written within seconds, however many they are", () => {
    end(1, 100_000);
    clock.advance(8_100);
    expect(written).toHaveLength(100_000);
  });

  test("are forgotten when the incarnation that would tell of them is over", () => {
    end(1, 12);
    expect([...departures.waiting].map(({ counter }) => counter)).toEqual([11, 12]);
    departures.clear();
    clock.advance(1_000);
    expect(written).toHaveLength(10);
  });
});
