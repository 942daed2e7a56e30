import fc from "fast-check";
import { expect, test } from "vitest";
import { ReplyOrder } from "../../../internal/access/uplink/reply-order.ts";

test("whatever the order of the answers, replies come in the order of the requests, none twice", () => {
  const requests = fc.integer({ min: 0, max: 20 });
  fc.assert(
    fc.property(
      requests.chain((count) =>
        fc.shuffledSubarray(
          Array.from({ length: count }, (_, i) => i),
          { minLength: count },
        ),
      ),
      (answered) => {
        const order = new ReplyOrder<number>();
        const places = answered.map(() => order.take());
        const given: number[] = [];
        for (const request of answered) {
          const place = places[request];
          if (place !== undefined) given.push(...order.fill(place, request));
          expect(order.size).toBe(answered.length - given.length);
        }
        expect(given).toEqual(answered.toSorted((a, b) => a - b));
      },
    ),
  );
});

test("a reply is given as soon as nothing before it is missing", () => {
  const order = new ReplyOrder<string>();
  const [a, b, c] = [order.take(), order.take(), order.take()];
  expect(order.fill(b, "b")).toEqual([]);
  expect(order.fill(a, "a")).toEqual(["a", "b"]);
  expect(order.fill(c, "c")).toEqual(["c"]);
});
