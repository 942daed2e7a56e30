import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { type Answer, type Published, WindowAppender } from "../support/window-appender.ts";
import { bytes, text } from "./support.ts";

/** A stream that drops repeats by their ids, and what is on its way to it. */
function streamOf() {
  const stored: string[] = [];
  const ids = new Map<string, number>();
  const wire: { message: Published; answered: (answer: Answer) => void }[] = [];
  let retry: (() => void) | undefined;
  const window = new WindowAppender(
    (message, answered) => void wire.push({ message, answered }),
    (again) => {
      retry = again;
    },
  );
  /** The oldest message on the wire arrives. */
  const arrive = (rejected: boolean) => {
    const next = wire.shift();
    if (next === undefined) {
      retry?.();
      return;
    }
    if (rejected) return next.answered("rejected");
    const { messageId, payload } = next.message;
    const before = ids.get(messageId);
    if (before === undefined) {
      stored.push(text(payload));
      ids.set(messageId, stored.length);
    }
    next.answered({ sequence: before ?? stored.length, duplicate: before !== undefined });
  };
  return { stored, wire, window, arrive };
}

interface Told {
  key: string;
  number: number;
}

function append(
  appender: LinedAppender,
  told: Told[],
  key: string,
  number: number,
  owner?: object,
) {
  appender.append(
    key,
    `s.${key}`,
    bytes(`${key}${number}`),
    () => void told.push({ key, number }),
    {
      headers: { "Nats-Msg-Id": `${key}/${number}` },
      refused: () => {},
      ...(owner && { owner }),
    },
  );
}

const ofKey = (stored: readonly string[], key: string) =>
  stored.filter((one) => one.startsWith(key)).map((one) => Number(one.slice(1)));

describe("messages of one key", () => {
  test("keep their order when the first is rejected and what follows it is stored", () => {
    const { stored, arrive, window } = streamOf();
    const appender = new LinedAppender(window);
    const told: Told[] = [];
    for (const number of [1, 2]) append(appender, told, "a", number);
    append(appender, told, "b", 1);
    arrive(true);
    for (let i = 0; i < 10; i++) arrive(false);
    expect(ofKey(stored, "a")).toEqual([1, 2]);
    expect(told.map(({ key, number }) => `${key}${number}`)).toEqual(["a1", "b1", "a2"]);
    expect(appender.backlog).toBe(0);
  });

  test("without a line of their own, that is the order which is lost", () => {
    const { stored, arrive, window } = streamOf();
    for (const number of [1, 2]) {
      window.append("s", bytes(`a${number}`), undefined, {
        headers: { "Nats-Msg-Id": `a/${number}` },
      });
    }
    arrive(true);
    for (let i = 0; i < 10; i++) arrive(false);
    expect(ofKey(stored, "a")).toEqual([2, 1]);
  });

  test("one that will never be taken does not hold up those behind it", () => {
    const calls: { subject: string; refuse: () => void }[] = [];
    const never = new WindowAppender(
      () => {},
      () => {},
    );
    never.append = (subject, _payload, _stored, options) => {
      const why = new HoldfastError("invalid", "too large");
      calls.push({ subject, refuse: () => options?.refused?.(why) });
    };
    const appender = new LinedAppender(never);
    append(appender, [], "a", 1);
    append(appender, [], "a", 2);
    expect(calls).toHaveLength(1);
    calls[0]?.refuse();
    expect(calls).toHaveLength(2);
  });

  test("whatever is rejected, each is stored once and in order, and whoever is forgotten is not sent again", () => {
    const step = fc.record({
      key: fc.constantFrom("a", "b", "c"),
      append: fc.boolean(),
      rejected: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.nat(120), (steps, forgetAt) => {
        const { stored, wire, arrive, window } = streamOf();
        const appender = new LinedAppender(window);
        const told: Told[] = [];
        const owners = { a: {}, b: {}, c: {} };
        const appended = { a: 0, b: 0, c: 0 };
        let forgotten = false;
        for (const [index, { key, append: adds, rejected }] of steps.entries()) {
          const name = key as keyof typeof owners;
          if (index === forgetAt) {
            forgotten = true;
            appender.forget(owners.c);
            // What is on its way may still come, now or late.
            expect(wire.filter(({ message }) => message.subject === "s.c").length).toBeLessThan(2);
          }
          if (name === "c" && forgotten) continue;
          if (adds) append(appender, told, key, ++appended[name], owners[name]);
          else arrive(rejected);
        }
        for (let i = 0; i < 2_000 && appender.backlog > 0; i++) arrive(false);
        expect(appender.backlog).toBe(0);
        for (const key of ["a", "b", "c"] as const) {
          const numbers = Array.from({ length: appended[key] }, (_, i) => i + 1);
          const found = ofKey(stored, key);
          const toldOf = told.filter((one) => one.key === key).map(({ number }) => number);
          if (key === "c" && forgotten) {
            expect(found).toEqual(numbers.slice(0, found.length));
            expect(toldOf).toEqual(numbers.slice(0, toldOf.length));
          } else {
            expect(found).toEqual(numbers);
            expect(toldOf).toEqual(numbers);
          }
        }
      }),
    );
  });
});
