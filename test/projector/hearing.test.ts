import { beforeEach, describe, expect, test } from "vitest";
import { Hearing, TICK_MS } from "../../internal/projector/hearing.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

let clock: VirtualClock;
let connected: boolean;
let hearing: Hearing;

beforeEach(() => {
  clock = new VirtualClock();
  connected = true;
  const link = {
    get connected() {
      return connected;
    },
    watch: () => ({ stop: () => {} }),
  };
  hearing = new Hearing(clock, link);
});

/** The projector runs as it should, and hears itself, for so long. */
function runFor(ms: number, echo = true): void {
  for (let passed = 0; passed < ms; passed += TICK_MS) {
    clock.advance(TICK_MS);
    if (echo) hearing.echo();
    hearing.tick();
  }
}

describe("silence of others", () => {
  test("counts while the projector itself runs and is connected", () => {
    const heardAt = clock.monotonic();
    runFor(6_000);
    expect(hearing.silence(heardAt)).toBe(6_000);
  });

  test("begins anew after the projector was frozen", () => {
    const heardAt = clock.monotonic();
    runFor(2_000);
    clock.advance(20_000);
    hearing.echo();
    hearing.tick();
    expect(hearing.silence(heardAt)).toBe(0);
    runFor(5_000);
    expect(hearing.silence(heardAt)).toBe(5_000);
  });

  test("does not count while the broker is away, nor for 5 s after, so that others find back too", () => {
    const heardAt = clock.monotonic();
    connected = false;
    runFor(10_000);
    connected = true;
    runFor(5_000);
    expect(hearing.silence(heardAt)).toBeLessThanOrEqual(0);
    runFor(5_000);
    expect(hearing.silence(heardAt)).toBe(5_000);
  });

  test("does not count while the projector does not even hear itself", () => {
    const heardAt = clock.monotonic();
    runFor(10_000, false);
    expect(hearing.silence(heardAt)).toBeLessThan(5_000);
    runFor(3_000);
    expect(hearing.silence(heardAt)).toBeLessThan(5_000);
  });
});
