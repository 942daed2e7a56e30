import fc from "fast-check";
import { expect, test } from "vitest";
import { MailIndex, type MailPlace } from "../../../internal/projector/delivery/mail-index.ts";

const place = (sequence: number, expiresAtMs = 1_000_000): MailPlace => {
  return { sequence, mailedAs: sequence + 5_000, expiresAtMs, bytes: 10 };
};

test("an index does what a sorted list does", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), sequence: fc.nat(2_000), ttl: fc.nat(100) }),
    fc.record({ kind: fc.constant("first" as const) }),
    fc.record({ kind: fc.constant("through" as const), sequence: fc.nat(2_000) }),
    fc.record({ kind: fc.constant("expire" as const), now: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const index = new MailIndex();
      let list: MailPlace[] = [];
      for (const one of steps) {
        switch (one.kind) {
          case "add":
            expect(index.has(one.sequence)).toBe(list.some((p) => p.sequence === one.sequence));
            if (index.has(one.sequence)) break;
            index.add(place(one.sequence, one.ttl));
            list.push(place(one.sequence, one.ttl));
            list.sort((a, b) => a.sequence - b.sequence);
            break;
          case "first":
            expect(index.takeFirst()).toEqual(list.shift());
            break;
          case "through": {
            const taken = list.filter(({ sequence }) => sequence <= one.sequence);
            list = list.filter(({ sequence }) => sequence > one.sequence);
            expect(index.takeThrough(one.sequence)).toEqual(taken.map(({ mailedAs }) => mailedAs));
            break;
          }
          case "expire": {
            const kept = list.filter(({ expiresAtMs }) => expiresAtMs > one.now);
            expect(index.dropExpired(one.now)).toBe(list.length - kept.length);
            list = kept;
            break;
          }
        }
        expect(index.size).toBe(list.length);
        expect(index.firstSequence).toBe(list[0]?.sequence ?? Number.POSITIVE_INFINITY);
      }
    }),
  );
});
