import { expect, test } from "vitest";
import { unleash } from "./nemesis.ts";
import { type Fault, planFaults } from "./nemesis-plan.ts";

const victims = { access: ["a1", "a2"], nats: ["n1", "n2", "n3"], projector: ["p1", "p2"] };
const plan = (seed: number) => planFaults({ seed, withinMs: 60_000, victims });
const endOf = (fault: Fault) => fault.atMs + fault.forMs;

test("a seed always gives the same faults, and another seed others", () => {
  expect(plan(1)).toEqual(plan(1));
  expect(plan(1)).not.toEqual(plan(2));
});

test("within a minute every kind of process is struck, in both ways, and all is over at the end", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const faults = plan(seed);
    for (const names of Object.values(victims)) {
      expect(faults.filter(({ victim }) => names.includes(victim)).length).toBeGreaterThan(1);
    }
    expect(new Set(faults.map(({ how }) => how)).size).toBe(2);
    expect(Math.max(...faults.map(endOf))).toBeLessThanOrEqual(60_000);
  }
});

test("of one kind no two are down at once", () => {
  for (let seed = 1; seed <= 50; seed++) {
    for (const names of Object.values(victims)) {
      const faults = plan(seed).filter(({ victim }) => names.includes(victim));
      for (const [index, fault] of faults.slice(1).entries()) {
        expect(fault.atMs).toBeGreaterThan(endOf(faults[index]!));
      }
    }
  }
});

test("of one kind half of the faults are of the worse ways that it has, and the others stay as they were", () => {
  const more = { nats: [{ how: "cut", victims: ["n3"] } as const] };
  let cuts = 0;
  let faults = 0;
  for (let seed = 1; seed <= 50; seed++) {
    const planned = planFaults({ seed, withinMs: 60_000, victims, more });
    const cut = planned.filter(({ how }) => how === "cut");
    expect(new Set(cut.map(({ victim }) => victim))).toEqual(new Set(cut.length > 0 ? ["n3"] : []));
    cuts += cut.length;
    faults += planned.filter(({ victim }) => victims.nats.includes(victim)).length;
  }
  expect(cuts / faults).toBeGreaterThan(0.3);
  expect(cuts / faults).toBeLessThan(0.7);
});

test("the nemesis strikes as planned and leaves every victim running", async () => {
  const deeds: string[] = [];
  const victim = (name: string) => ({
    kill: async () => void deeds.push(`kill ${name}`),
    start: async () => void deeds.push(`start ${name}`),
    freeze: () => void deeds.push(`freeze ${name}`),
    thaw: () => void deeds.push(`thaw ${name}`),
  });
  const faults: Fault[] = [
    { atMs: 0, victim: "a", how: "freeze", forMs: 30 },
    { atMs: 10, victim: "b", how: "kill", forMs: 200 },
  ];
  const lines: string[] = [];
  await unleash(
    faults,
    new Map([
      ["a", victim("a")],
      ["b", victim("b")],
    ]),
    (line) => lines.push(line),
  );
  expect(deeds.toSorted()).toEqual(["freeze a", "kill b", "start b", "thaw a"]);
  expect(deeds.at(-1)).toBe("start b");
  expect(lines).toEqual(["0.0 s: SIGSTOP of a for 0.0 s", "0.0 s: kill -9 of b for 0.2 s"]);
});
