import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Life,
  type LifeEffect,
  type LifeEvent,
  step,
  unborn,
} from "../../../internal/access/log/life.ts";

const ISOLATED_AFTER_MS = 120_000;

/** Runs events at times, and gives what came of them. */
function run(...events: (LifeEvent & { at?: number })[]): { life: Life; effects: LifeEffect[] } {
  let life = unborn(true, 0);
  let effects: LifeEffect[] = [];
  let now = 0;
  for (const event of events) {
    now = event.at ?? now;
    ({ life, effects } = step(life, event, now, ISOLATED_AFTER_MS));
  }
  return { life, effects };
}

const UP = { kind: "link", up: true } as const;
const DOWN = { kind: "link", up: false } as const;
const alive = (question: number) => ({ kind: "answered", question, dead: false }) as const;
const dead = (question: number) => ({ kind: "answered", question, dead: true }) as const;
const kinds = (effects: LifeEffect[]) => effects.map(({ kind }) => kind);

describe("the life of a node", () => {
  test("begins with a question, and goes on with its answer", () => {
    expect(run(UP).effects).toEqual([{ kind: "ask", question: 1, afterMs: 0 }]);
    const { life, effects } = run(UP, alive(1));
    expect(life.kind).toBe("certain");
    expect(kinds(effects)).toEqual(["resume"]);
  });

  test("is asked about again after a while when nobody answers", () => {
    expect(run(UP, { kind: "unanswered", question: 1 }).effects).toEqual([
      { kind: "ask", question: 2, afterMs: 500 },
    ]);
  });

  test.each([
    ["its link was away", [DOWN, UP], ["ask"]],
    ["it stood still", [{ kind: "late" }], ["hold", "ask"]],
    ["it hears of its end", [{ kind: "rumour" }], ["hold", "ask"]],
  ] as const)("is in doubt when %s", (_, events, wanted) => {
    const { life, effects } = run(UP, alive(1), ...events);
    expect(life.kind).toBe("asking");
    expect(kinds(effects)).toEqual(wanted);
  });

  test("is not decided by an answer to an earlier question", () => {
    const twice = run(UP, alive(1), { kind: "late" }, { kind: "late" }, alive(2));
    expect(twice.life).toMatchObject({ kind: "asking", question: 3 });
    expect(run(UP, DOWN, alive(1)).life.kind).toBe("cut");
  });

  test("begins again when the log says that it is over, in doubt or not", () => {
    expect(kinds(run(UP, dead(1)).effects)).toEqual(["begin-again"]);
    const certain = run(UP, alive(1), { kind: "tick", at: 30_000 }, dead(2));
    expect(certain.life.kind).toBe("certain");
    expect(kinds(certain.effects)).toEqual(["begin-again"]);
  });

  test("is made sure of every 30 s, without holding anything up", () => {
    expect(run(UP, alive(1), { kind: "tick", at: 29_000 }).effects).toEqual([]);
    const { life, effects } = run(UP, alive(1), { kind: "tick", at: 30_000 });
    expect(life.kind).toBe("certain");
    expect(kinds(effects)).toEqual(["ask"]);
    const again = run(UP, alive(1), { kind: "tick", at: 30_000 }, { kind: "tick", at: 31_000 });
    expect(again.effects).toEqual([]);
  });

  test("is made sure of every second for a while after a rumour", () => {
    const heard = [UP, alive(1), { kind: "rumour", at: 10_000 }, alive(2)] as const;
    expect(kinds(run(...heard, { kind: "tick", at: 11_000 }).effects)).toEqual(["ask"]);
    const later = [...heard, { kind: "tick", at: 25_500 }, alive(3)] as const;
    expect(run(...later, { kind: "tick", at: 27_000 }).effects).toEqual([]);
  });

  test("is isolated once its link was away for long, is told so once, and of its return", () => {
    const cut = [UP, alive(1), { ...DOWN, at: 1_000 }] as const;
    expect(run(...cut, { kind: "tick", at: 120_000 }).effects).toEqual([]);
    const alone = [...cut, { kind: "tick", at: 121_000 }] as const;
    expect(kinds(run(...alone).effects)).toEqual(["isolated"]);
    expect(run(...alone, { kind: "tick", at: 122_000 }).effects).toEqual([]);
    expect(kinds(run(...alone, UP).effects)).toEqual(["reunited", "ask"]);
  });

  test("is never isolated while the link is up, however long the log is silent", () => {
    const silent = [UP, { kind: "unanswered", question: 1 }] as const;
    expect(run(...silent, { kind: "tick", at: 3_600_000 }).effects).toEqual([]);
  });

  test("holds before it is in doubt, whatever happens, and lets go only with an answer", () => {
    const event: fc.Arbitrary<LifeEvent> = fc.oneof(
      fc.constantFrom<LifeEvent>(UP, DOWN, { kind: "late" }, { kind: "rumour" }, { kind: "tick" }),
      fc.record({
        kind: fc.constant("answered" as const),
        question: fc.nat(20),
        dead: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("unanswered" as const), question: fc.nat(20) }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(40_000)), { maxLength: 80 }), (events) => {
        let life = unborn(true, 0);
        let held = true;
        let now = 0;
        for (const [next, elapsed] of events) {
          now += elapsed;
          const { question } = life;
          const stepped = step(life, next, now, ISOLATED_AFTER_MS);
          for (const { kind } of stepped.effects) {
            if (kind === "hold") held = true;
            if (kind !== "resume" && kind !== "begin-again") continue;
            expect(next).toMatchObject({ kind: "answered", question });
            held = false;
          }
          life = stepped.life;
          expect(held).toBe(life.kind !== "certain");
        }
      }),
      { seed: 20_26, numRuns: 500 },
    );
  });
});
