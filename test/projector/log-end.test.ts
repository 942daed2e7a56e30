import { expect, test } from "vitest";
import { LogEnd } from "../../internal/projector/log-end.ts";

/** A log whose answers wait until they are let through. */
function slowLog() {
  const waiting: ((end: number) => void)[] = [];
  let asked = 0;
  return {
    get asked() {
      return asked;
    },
    lastSequence(): Promise<number> {
      asked += 1;
      return new Promise((resolve) => waiting.push(resolve));
    },
    async answer(end: number): Promise<void> {
      waiting.shift()?.(end);
      await new Promise(setImmediate);
    },
  };
}

test("whoever comes while a question is on its way shares the next one", async () => {
  const log = slowLog();
  const end = new LogEnd(log);
  const first = end.of(0);
  const others = [end.of(0), end.of(0), end.of(0)];
  expect(log.asked).toBe(1);
  await log.answer(7);
  expect([await first, log.asked]).toEqual([7, 2]);
  await log.answer(9);
  expect([await Promise.all(others), log.asked]).toEqual([[9, 9, 9], 2]);
});

test("one that nobody answers fails for those who asked, and for nobody else", async () => {
  let fails = true;
  const end = new LogEnd({
    lastSequence: async () => {
      if (fails) throw new Error("no leader");
      return 5;
    },
  });
  const first = end.of(0);
  const second = end.of(0);
  await expect(first).rejects.toThrow("no leader");
  fails = false;
  expect(await end.of(0)).toBe(5);
  await second.catch(() => {});
});
