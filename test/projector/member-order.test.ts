import fc from "fast-check";
import { expect, test } from "vitest";
import { GroupIndex } from "../../internal/projector/fold/group-index.ts";

interface Member {
  id: string;
}

const idOf = ({ id }: Member) => id;

function page(index: GroupIndex<Member>, after: string, size: number): string[] {
  const ids: string[] = [];
  for (const { id } of index.membersAfter("demo", "room", after)) {
    if (ids.length === size) break;
    ids.push(id);
  }
  return ids;
}

test("whoever is a member throughout is on one page, once, whoever comes and goes meanwhile", () => {
  const change = fc.record({ id: fc.nat(40), join: fc.boolean() });
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(40)),
      fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1 }),
      fc.integer({ min: 1, max: 7 }),
      (present, turns, size) => {
        const index = new GroupIndex(idOf);
        const members = new Map<string, Member>();
        const join = (id: string) => {
          if (members.has(id)) return;
          members.set(id, { id });
          index.add("demo", "room", members.get(id)!);
        };
        const leave = (id: string) => {
          const member = members.get(id);
          if (member === undefined) return;
          members.delete(id);
          index.remove("demo", "room", member);
        };
        const name = (n: number) => String(n).padStart(2, "0");
        for (const n of present) join(name(n));
        const throughout = new Set(members.keys());
        const seen: string[] = [];
        for (let i = 0, after = ""; ; i++) {
          const ids = page(index, after, size);
          seen.push(...ids);
          if (ids.length < size) break;
          after = ids.at(-1)!;
          for (const { id, join: comes } of turns[i % turns.length]!) {
            if (comes) join(name(id));
            else {
              leave(name(id));
              throughout.delete(name(id));
            }
          }
          if (i % 3 === 2) index.forgetOrders();
        }
        expect(seen).toEqual([...new Set(seen)].sort());
        for (const id of throughout) expect(seen).toContain(id);
        expect(page(index, "", 1_000)).toEqual([...members.keys()].sort());
      },
    ),
  );
});

test("a page of a large room looks at no more members than it holds, but for the first", () => {
  const index = new GroupIndex(idOf);
  let looks = 0;
  const member = (n: number) => ({
    get id() {
      looks += 1;
      return String(n).padStart(6, "0");
    },
  });
  for (let n = 0; n < 20_000; n++) index.add("demo", "room", member(n));
  page(index, "", 10);
  looks = 0;
  for (let i = 0; i < 10; i++) {
    index.add("demo", "room", member(30_000 + i));
    page(index, String(1_000 * i).padStart(6, "0"), 100);
  }
  expect(looks).toBeLessThan(10 * 100 * 6);
});
