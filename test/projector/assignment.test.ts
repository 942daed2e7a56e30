import fc from "fast-check";
import { expect, test } from "vitest";
import { assign, type Member } from "../../internal/projector/assignment.ts";

const NOTHING: ReadonlySet<number> = new Set();

function members(...ids: string[]): Member[] {
  return ids.map((id) => ({ id, declined: NOTHING }));
}

function counts(owners: readonly string[]): number[] {
  const counted = new Map<string, number>();
  for (const owner of owners) counted.set(owner, (counted.get(owner) ?? 0) + 1);
  return [...counted.values()].sort((a, b) => b - a);
}

/** As the projectors carry it out: what is free or has to go is moved, until nothing moves any more. */
function settle(among: readonly Member[], owners: readonly string[]): string[] {
  let present = [...owners];
  for (let step = 0; step <= 4 * owners.length + 2; step++) {
    const wanted = assign(among, present);
    if (wanted.every((owner, partition) => owner === present[partition])) return present;
    present = wanted;
  }
  throw new Error("it never settles");
}

const names = fc.uniqueArray(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 9 });
const situation = fc.record({
  living: names.map((numbers) => numbers.map((n) => `p${n}-x`)),
  owners: fc.array(fc.integer({ min: -1, max: 20 }), { minLength: 1, maxLength: 64 }),
  declined: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }),
});
const ownersOf = (numbers: readonly number[]) => numbers.map((n) => (n < 0 ? "" : `p${n}-x`));

test("everybody gets at most an equal share, everything has an owner, and all of them live", () => {
  fc.assert(
    fc.property(situation, ({ living, owners }) => {
      const settled = settle(members(...living), ownersOf(owners));
      const share = Math.ceil(owners.length / living.length);
      expect(counts(settled)[0]).toBeLessThanOrEqual(share);
      expect(settled.every((owner) => living.includes(owner))).toBe(true);
    }),
  );
});

test("an owner that is well gives up only what is above its share, and two at a time", () => {
  fc.assert(
    fc.property(situation, ({ living, owners }) => {
      const present = ownersOf(owners);
      const wanted = assign(members(...living), present);
      const share = Math.ceil(owners.length / living.length);
      const moved = present.filter((owner, p) => living.includes(owner) && wanted[p] !== owner);
      expect(moved.length).toBeLessThanOrEqual(2);
      for (const owner of moved) {
        expect(wanted.filter((one) => one === owner).length).toBeGreaterThanOrEqual(share);
      }
    }),
  );
});

test("the order in which the members are known makes no difference", () => {
  fc.assert(
    fc.property(situation, ({ living, owners }) => {
      const present = ownersOf(owners);
      expect(assign(members(...living.toReversed()), present)).toEqual(
        assign(members(...living), present),
      );
    }),
  );
});

test("the end of one moves its partitions and no others", () => {
  fc.assert(
    fc.property(situation, ({ living, owners }) => {
      const [gone, ...left] = living;
      if (gone === undefined || left.length === 0) return;
      const before = settle(members(...living), ownersOf(owners));
      const after = settle(members(...left), before);
      for (const [partition, owner] of before.entries()) {
        if (owner !== gone) expect(after[partition]).toBe(owner);
      }
    }),
  );
});

test("a partition is not given to who declines it, unless everybody does", () => {
  fc.assert(
    fc.property(situation, ({ living, owners, declined }) => {
      const refusals = new Map<string, Set<number>>(living.map((id) => [id, new Set<number>()]));
      for (const [who, which] of declined) {
        refusals.get(living[who % living.length] ?? "")?.add(which % owners.length);
      }
      const among = living.map((id) => ({ id, declined: refusals.get(id) ?? NOTHING }));
      const settled = settle(among, ownersOf(owners));
      const takers = living.filter((id) => (refusals.get(id)?.size ?? 0) < owners.length);
      for (const [partition, owner] of settled.entries()) {
        expect(living).toContain(owner);
        const willing = takers.filter((id) => refusals.get(id)?.has(partition) === false);
        if (willing.length > 0) expect(willing).toContain(owner);
      }
    }),
  );
});

test("16 partitions over 3 projectors are 6, 6 and 4 at most", () => {
  const settled = settle(members("a-1", "b-1", "c-1"), new Array(16).fill(""));
  expect(counts(settled)[0]).toBe(6);
});

test("a projector that joins is given its share two at a time, by those who have too much", () => {
  const before = settle(members("a-1", "b-1"), new Array(16).fill(""));
  const all = members("a-1", "b-1", "c-1");
  const first = assign(all, before);
  expect(first.filter((owner, partition) => owner !== before[partition])).toEqual(["c-1", "c-1"]);
  expect(counts(settle(all, before))).toEqual([6, 6, 4]);
});

test("one that is about to end, and so declines all, is given nothing and leaves no room unused", () => {
  const leaving = { id: "a-1", declined: new Set([0, 1, 2, 3]) };
  const settled = settle([leaving, ...members("b-1")], ["a-1", "a-1", "b-1", "b-1"]);
  expect(settled).toEqual(["b-1", "b-1", "b-1", "b-1"]);
});

test("a restart of all of them changes nothing: the name decides", () => {
  const none = new Array(64).fill("");
  const nameOf = (id: string) => id.slice(0, id.indexOf("-"));
  const first = settle(members("a-1", "b-1", "c-1"), none).map(nameOf);
  const second = settle(members("a-2", "b-7", "c-3"), none).map(nameOf);
  expect(second).toEqual(first);
});
