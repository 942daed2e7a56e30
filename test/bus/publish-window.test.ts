import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CONFLICT, type Outcome, PublishWindow } from "../../internal/bus/publish-window.ts";

interface Message {
  id: number;
  size: number;
}

const LIMITS = { maxInFlight: 4, maxInFlightBytes: 1_000, maxBacklog: 10, maxBacklogBytes: 5_000 };

function windowOf(options: { online?: boolean } = {}) {
  const settled: { id: number; outcome: Outcome }[] = [];
  const faults: unknown[] = [];
  const owner = {
    settled: ({ id }: Message, outcome: Outcome) => void settled.push({ id, outcome }),
    fault: (reason: unknown) => void faults.push(reason),
  };
  const window = new PublishWindow<Message>(LIMITS, owner, options.online ?? true);
  const add = (count: number, size = 1, from = 0) => {
    for (let id = from; id < from + count; id++) window.add({ id, size });
  };
  /** Sends all it may; gives [id, number] of each. */
  const send = () => {
    const sent: [number, number][] = [];
    for (let m = window.take(); m !== undefined; m = window.take()) {
      sent.push([m.id, window.lastNumber]);
    }
    return sent;
  };
  return { window, settled, faults, add, send };
}

describe("bounds", () => {
  test("no more than the allowed number of messages is in flight", () => {
    const { window, add, send } = windowOf();
    add(9);
    const sent = send();
    expect(sent.map(([id]) => id)).toEqual([0, 1, 2, 3]);
    window.settle(sent[0]![1], 1);
    expect(send().map(([id]) => id)).toEqual([4]);
  });

  test("large messages fill the window by their bytes", () => {
    const { add, send } = windowOf();
    add(4, 600);
    expect(send()).toHaveLength(2);
  });

  test("it is not ready above the bound, and ready again only at half of it", () => {
    const { window, add, send } = windowOf();
    add(11);
    expect(window.ready).toBe(false);
    const sent = send();
    const readyAt: number[] = [];
    for (let left = 10; left >= 0; left--) {
      window.settle(sent.shift()![1], 1);
      sent.push(...send());
      if (window.ready) readyAt.push(window.backlog);
    }
    expect(readyAt).toEqual([5, 4, 3, 2, 1, 0]);
  });
});

describe("order", () => {
  test("messages settle in the order they were added, whatever order their answers come in", () => {
    const { window, add, send, settled } = windowOf();
    add(3);
    const [a, b, c] = send();
    window.settle(c![1], 3);
    window.settle(b![1], 2);
    expect(settled).toEqual([]);
    window.settle(a![1], 1);
    expect(settled).toEqual([
      { id: 0, outcome: 1 },
      { id: 1, outcome: 2 },
      { id: 2, outcome: 3 },
    ]);
  });

  test("after a failure everything from the failed one on is sent again, once the rest is answered", () => {
    const { window, add, send, settled } = windowOf();
    add(6);
    const [a, b, c, d] = send();
    window.settle(a![1], 1);
    window.fail(b![1]);
    expect(send()).toEqual([]);
    window.settle(c![1], 2);
    expect(window.phase).toBe("settling");
    window.fail(d![1]);
    expect(window.phase).toBe("pausing");
    expect(send()).toEqual([]);

    window.retry();
    const probe = send();
    expect(probe.map(([id]) => id)).toEqual([1]);
    window.settle(probe[0]![1], 3);
    expect(send().map(([id]) => id)).toEqual([2, 3, 4, 5]);
    expect(settled.map(({ id }) => id)).toEqual([0, 1]);
  });

  test("answers of an earlier round change nothing", () => {
    const { window, add, send, settled } = windowOf();
    add(2);
    const [a, b] = send();
    window.disconnected();
    window.connected();
    const [again] = send();
    window.settle(a![1], 1);
    window.settle(b![1], 2);
    expect(window.fail(a![1])).toBe(false);
    expect(settled).toEqual([]);
    window.settle(again![1], 7);
    expect(settled).toEqual([{ id: 0, outcome: 7 }]);
  });
});

describe("interruptions", () => {
  test("nothing is sent without a broker, and all that is unanswered when it is back", () => {
    const { window, add, send } = windowOf({ online: false });
    add(2);
    expect(send()).toEqual([]);
    window.connected();
    expect(send()).toHaveLength(2);
    window.disconnected();
    add(1, 1, 2);
    expect(send()).toEqual([]);
    window.connected();
    expect(send().map(([id]) => id)).toEqual([0, 1, 2]);
  });

  test("when nothing is answered for as long as patience lasts, it starts over", () => {
    const { window, add, send } = windowOf();
    add(2);
    send();
    expect([1, 2, 3, 4].map(() => window.tick(3))).toEqual([false, false, false, true]);
    expect(window.phase).toBe("pausing");
  });

  test("answers that keep coming are patience enough", () => {
    const { window, add, send } = windowOf();
    for (let id = 0; id < 20; id++) {
      add(1, 1, id);
      const [sent] = send();
      expect(window.tick(2)).toBe(false);
      window.settle(sent![1], id + 1);
    }
  });

  test("held back, it keeps what is added and sends nothing until released", () => {
    const { window, add, send } = windowOf();
    window.hold();
    add(2);
    expect(send()).toEqual([]);
    expect(window.backlog).toBe(2);
    window.release();
    expect(send()).toHaveLength(2);
  });

  test("after a discard nothing settles, not even what was in flight", () => {
    const { window, add, send, settled } = windowOf();
    add(12);
    const sent = send();
    window.discard();
    for (const [, number] of sent) window.settle(number, 9);
    expect({ settled, backlog: window.backlog, ready: window.ready }).toEqual({
      settled: [],
      backlog: 0,
      ready: true,
    });
    add(1, 1, 50);
    const [next] = send();
    window.settle(next![1], 10);
    expect(settled).toEqual([{ id: 50, outcome: 10 }]);
  });

  test("a callback that throws does not keep others from being called", () => {
    const faults: unknown[] = [];
    const called: number[] = [];
    const owner = {
      settled: ({ id }: Message) => {
        called.push(id);
        if (id === 0) throw new Error("a bug");
      },
      fault: (reason: unknown) => void faults.push(reason),
    };
    const window = new PublishWindow<Message>(LIMITS, owner, true);
    window.add({ id: 0, size: 1 });
    window.add({ id: 1, size: 1 });
    window.take();
    window.settle(window.lastNumber, CONFLICT);
    window.take();
    window.settle(window.lastNumber, 1);
    expect({ called, faults: faults.length }).toEqual({ called: [0, 1], faults: 1 });
  });
});

type Step = "add" | "store" | "lose-answer" | "refuse" | "answer" | "drop-link" | "link" | "tick";
const steps = fc.array(
  fc.constantFrom<Step>(
    ...(["add", "add", "add", "store", "store", "store", "answer", "answer", "answer"] as const),
    ...(["lose-answer", "refuse", "drop-link", "link", "link", "tick"] as const),
  ),
  { maxLength: 300 },
);

test("whatever fails, all is stored in the end, the last copies in order, and settled once", () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const log: number[] = [];
      const settled: { id: number; outcome: Outcome }[] = [];
      const owner = {
        settled: ({ id }: Message, outcome: Outcome) => void settled.push({ id, outcome }),
        fault: (reason: unknown) => {
          throw reason;
        },
      };
      const window = new PublishWindow<Message>(LIMITS, owner, true);
      let added = 0;
      /** On their way to the stream, and answers on their way back. */
      let travelling: { id: number; number: number }[] = [];
      let answers: (() => void)[] = [];
      const send = () => {
        for (let m = window.take(); m !== undefined; m = window.take()) {
          travelling.push({ id: m.id, number: window.lastNumber });
        }
        expect(window.inFlight).toBeLessThanOrEqual(LIMITS.maxInFlight);
      };
      const run: Record<Step, () => void> = {
        add: () => window.add({ id: added++, size: 1 }),
        store: () => {
          const arrived = travelling.shift();
          if (arrived === undefined) return;
          const sequence = log.push(arrived.id);
          answers.push(() => window.settle(arrived.number, sequence));
        },
        "lose-answer": () => {
          const arrived = travelling.shift();
          if (arrived !== undefined) log.push(arrived.id);
        },
        refuse: () => {
          const arrived = travelling.shift();
          if (arrived !== undefined) answers.push(() => window.fail(arrived.number));
        },
        answer: () => answers.shift()?.(),
        "drop-link": () => {
          travelling = [];
          answers = [];
          window.disconnected();
        },
        link: () => window.connected(),
        tick: () => {
          window.tick(1);
          window.retry();
        },
      };
      // Patience ends only when nothing is on its way.
      const calm = (): Step[] =>
        travelling.length + answers.length > 0 ? ["link", "store", "answer"] : ["link", "tick"];
      for (const step of plan) {
        run[step]();
        send();
      }
      for (let round = 0; window.backlog > 0; round++) {
        expect(round).toBeLessThan(20 * added + 20);
        for (const step of calm()) {
          run[step]();
          send();
        }
      }
      expect(settled.map(({ id }) => id)).toEqual(Array.from({ length: added }, (_, id) => id));
      for (const { id, outcome } of settled) expect(log[outcome - 1]).toBe(id);
      const lastCopies = settled.map(({ id }) => log.lastIndexOf(id));
      expect(lastCopies).toEqual(lastCopies.toSorted((a, b) => a - b));
    }),
    { numRuns: 500 },
  );
});
