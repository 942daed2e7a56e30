import { beforeEach, describe, expect, test } from "vitest";
import { Admission, type AdmissionLimits } from "../../internal/transport/admission.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

let clock: VirtualClock;

beforeEach(() => {
  clock = new VirtualClock();
});

const admissionOf = (limits: Partial<AdmissionLimits>) => new Admission(clock, limits);

/** How many of so many attempts from one address are let in. */
function entered(admission: Admission, attempts: number, address = "10.0.0.1"): number {
  let count = 0;
  for (let i = 0; i < attempts; i += 1) if (admission.enter(address)) count += 1;
  return count;
}

describe("admission", () => {
  test("lets 15,000 connections of one address in, unless told otherwise", () => {
    expect(entered(admissionOf({}), 15_000)).toBe(15_000);
  });

  test("counts connections in and out, over all and for each address", () => {
    const admission = admissionOf({ maxConnections: 3, maxConnectionsPerAddress: 2 });
    expect(entered(admission, 5, "a")).toBe(2);
    expect(entered(admission, 5, "b")).toBe(1);
    expect([admission.connections, admission.refused]).toEqual([3, 7]);
    admission.leave("a");
    expect(entered(admission, 5, "b")).toBe(1);
    admission.leave("b");
    expect(entered(admission, 5, "a")).toBe(1);
  });

  test("bounds new connections by a rate with a burst", () => {
    const admission = admissionOf({ connects: { perSecond: 10, burst: 20 } });
    expect(entered(admission, 100)).toBe(20);
    clock.advance(500);
    expect(entered(admission, 100)).toBe(5);
    clock.advance(60_000);
    expect(entered(admission, 100)).toBe(20);
  });

  test("bounds the rate of one address without a cost for the others", () => {
    const admission = admissionOf({
      connects: { perSecond: 10, burst: 20 },
      connectsPerAddress: { perSecond: 1, burst: 5 },
    });
    expect(entered(admission, 1_000, "rude")).toBe(5);
    expect(entered(admission, 5, "polite")).toBe(5);
    clock.advance(2_000);
    expect(entered(admission, 1_000, "rude")).toBe(2);
  });
});
