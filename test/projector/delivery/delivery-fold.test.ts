import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, test } from "vitest";
import { DeliveryFold } from "../../../internal/projector/delivery/delivery-fold.ts";
import type { DeliveryEffect, Loaded } from "../../../internal/projector/delivery/effects.ts";
import type { Connection } from "../../../internal/projector/delivery/inbox.ts";
import type { DeliveryLimits } from "../../../internal/projector/delivery/state.ts";
import { AcceptedSchema, AckedSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";

const HOUR = 3_600_000;
const FIRST: Connection = { id: "n-1.1", node: "n-1", counter: 1 };
const SECOND: Connection = { id: "n-2.7", node: "n-2", counter: 7 };

let fold: DeliveryFold;
let connection: Connection | undefined;
/** Virtual time, ms. */
let now: number;
let last: number;

beforeEach(() => {
  connection = FIRST;
  now = 1_000_000;
  last = 0;
  fold = began();
});

function began(limits: Partial<DeliveryLimits> = {}): DeliveryFold {
  return new DeliveryFold(() => connection, limits);
}

type EffectOf<K extends DeliveryEffect["kind"]> = DeliveryEffect & { kind: K };

/** The effects of one kind since the last look; the others are dropped. */
function effects<K extends DeliveryEffect["kind"]>(kind: K): EffectOf<K>[] {
  return fold.takeEffects().filter((effect): effect is EffectOf<K> => effect.kind === kind);
}

const sent = () => effects("send").map(({ entry }) => entry.sequence);

function accept(sequence: number, ttlMs = HOUR): void {
  last = sequence;
  const accepted = create(AcceptedSchema, {
    app: "demo",
    device: "d1",
    messageId: `m${sequence}`,
    business: "chat",
    message: Buffer.from(`message ${sequence}`.padEnd(10)),
    expiresAtMs: BigInt(now + ttlMs),
  });
  fold.accepted(sequence, accepted, { sequence, atMs: now, nowMs: now });
}

function ack(delivery: number, from = FIRST): void {
  last += 1;
  const deliverySequence = BigInt(delivery);
  const acks = [{ app: "demo", device: "d1", deliverySequence, connection: BigInt(from.counter) }];
  fold.acked(last, create(AckedSchema, { incarnation: from.node, acks }), now, now);
}

function pass(ms: number): void {
  const until = now + ms;
  while (now < until) {
    now = Math.min(now + 100, until);
    fold.tick(now);
  }
}

function move(to: Connection | undefined): void {
  connection = to;
  fold.moved("demo", "d1", now);
}

/** The device says at its login that it has handled everything up to this delivery. */
function claim(deliverySequence: number): void {
  last += 1;
  const { node, id } = SECOND;
  const ack = { recordSequence: last, atMs: now, deliverySequence, node, connection: id };
  fold.claimed("demo", "d1", ack, now);
}

/** Stores what is on its way to the mailbox, at places from `place` on. */
function storeMail(place: number): number[] {
  return effects("mail").map(({ inbox, entry }, i) => {
    fold.mailed(inbox, entry, place + i, now);
    return entry.sequence;
  });
}

/** What the mailbox has of these. */
function found(sequences: number[], handled = 0): Loaded {
  const mails = sequences.map((sequence) => {
    const message = Buffer.from(`m${sequence}`);
    const mail = { messageId: `m${sequence}`, business: "chat", acceptedAtMs: now, message };
    return [sequence, mail] as const;
  });
  return { mails: new Map(mails), handled };
}

describe("a connected device", () => {
  test("is sent messages in order, at most a window of them unacknowledged", () => {
    fold = began({ window: 3 });
    fold.goLive(now);
    for (const sequence of [10, 20, 30, 40, 50]) accept(sequence);
    const first = effects("send");
    expect(first.map(({ entry, after }) => [entry.sequence, after])).toEqual([
      [10, 0],
      [20, 10],
      [30, 20],
    ]);
    ack(20);
    expect(sent()).toEqual([40, 50]);
    expect(fold.checkpoint(100)).toBe(29);
    ack(50);
    expect(fold.devices).toBe(0);
    expect(fold.checkpoint(100)).toBe(100);
  });

  test("is sent no more bytes than may wait for it, and a message that is larger alone", () => {
    fold = began({ windowBytes: 29 });
    fold.goLive(now);
    // 10 bytes each, and three would be one too many.
    for (const sequence of [1, 2, 3]) accept(sequence);
    expect(sent()).toEqual([1, 2, 3].slice(0, 2));
    ack(1);
    expect(sent()).toEqual([3]);
    fold = began({ windowBytes: 5 });
    fold.goLive(now);
    for (const sequence of [4, 5]) accept(sequence);
    expect(sent()).toEqual([4]);
    ack(4);
    expect(sent()).toEqual([5]);
  });

  test("that could not say so while it was connected says at its login what it has handled", () => {
    fold.goLive(now);
    for (const sequence of [10, 20, 30]) accept(sequence);
    sent();
    claim(20);
    move(SECOND);
    expect(sent()).toEqual([30]);
    expect(fold.counters.delivered).toBe(2);
  });

  test("that does not acknowledge is sent everything again after 2, 5, 15, 30 and 45 s", () => {
    fold.goLive(now);
    accept(10);
    expect(sent()).toEqual([10]);
    const at: number[] = [];
    const began = now;
    while (now - began < 59_000) {
      pass(1_000);
      if (sent().length > 0) at.push((now - began) / 1_000);
    }
    expect(at).toEqual([2, 5, 15, 30, 45]);
  });

  test("that acknowledges some is not sent the rest again before 2 s have passed since", () => {
    fold.goLive(now);
    for (const sequence of [10, 20]) accept(sequence);
    pass(1_900);
    ack(10);
    sent();
    pass(1_900);
    expect(sent()).toEqual([]);
    pass(200);
    expect(sent()).toEqual([20]);
  });

  test("is sent everything again at once when it has connected anew, from the oldest on", () => {
    fold.goLive(now);
    for (const sequence of [10, 20]) accept(sequence);
    sent();
    move(SECOND);
    const again = effects("send");
    expect(
      again.map(({ entry, after, connection: { id } }) => [entry.sequence, after, id]),
    ).toEqual([
      [10, 0, SECOND.id],
      [20, 10, SECOND.id],
    ]);
    // A change of its route that is none of its connection.
    move(SECOND);
    expect(sent()).toEqual([]);
  });

  test("is sent again soon what its node did not write, and a few times only", () => {
    fold.goLive(now);
    accept(10);
    let sendings = 0;
    const refuse = () => {
      for (const { inbox, connection: to } of effects("send")) {
        sendings += 1;
        fold.notWritten(inbox, to, now);
      }
    };
    refuse();
    for (let i = 0; i < 18; i++) {
      pass(100);
      refuse();
    }
    expect(sendings).toBe(5);
  });

  test("that acknowledges nothing for 60 s gets its messages from the mailbox later, one at a time", () => {
    fold.goLive(now);
    for (const sequence of [10, 20]) accept(sequence);
    sent();
    pass(59_000);
    expect(effects("mail")).toEqual([]);
    pass(1_000);
    expect(storeMail(1)).toEqual([10, 20]);
    expect(fold.checkpoint(100)).toBe(100);
    pass(15_000);
    const [load] = effects("load");
    expect(load!.entries.map(({ mailedAs }) => mailedAs)).toEqual([1]);
    fold.loaded(load!.inbox, load!.entries, found([10]), now);
    expect(sent()).toEqual([10]);
  });
});

describe("a device that is away", () => {
  beforeEach(() => {
    connection = undefined;
    fold.goLive(now);
  });

  test("gets its messages into the mailbox after 2 s, and the log may forget them then", () => {
    for (const sequence of [10, 20]) accept(sequence);
    pass(1_900);
    expect(effects("mail")).toEqual([]);
    expect(fold.checkpoint(100)).toBe(9);
    pass(200);
    const mails = effects("mail");
    expect(fold.checkpoint(100)).toBe(9);
    for (const [i, { inbox, entry }] of mails.entries()) fold.mailed(inbox, entry, 5 + i, now);
    expect(fold.checkpoint(100)).toBe(100);
    expect(fold.counters.mailed).toBe(2);
  });

  test("that is back within 2 s costs the mailbox nothing", () => {
    accept(10);
    pass(1_000);
    move(FIRST);
    expect(sent()).toEqual([10]);
    pass(5_000);
    expect(effects("mail")).toEqual([]);
  });

  test("is given its mail first when it comes, then what is newer, and its mail is deleted", () => {
    for (const sequence of [10, 20]) accept(sequence);
    pass(2_100);
    storeMail(5);
    accept(30);
    move(FIRST);
    const [load] = effects("load");
    expect(load!.entries.map(({ mailedAs }) => mailedAs)).toEqual([5, 6]);
    fold.loaded(load!.inbox, load!.entries, found([10, 20]), now);
    expect(sent()).toEqual([10, 20, 30]);
    ack(30);
    const acked = last;
    const [purge] = effects("purge");
    expect(purge!.purge).toMatchObject({ places: [5, 6], handled: 30 });
    // Whoever takes over before the mail is gone has to read that it was acknowledged.
    expect(fold.checkpoint(1_000)).toBe(acked - 1);
    fold.purged(purge!.inbox, now);
    expect(fold.checkpoint(1_000)).toBe(1_000);
    expect(fold.devices).toBe(0);
  });

  test("keeps the mail that it has not acknowledged, wherever it stands", () => {
    for (const sequence of [10, 20, 30]) accept(sequence);
    pass(2_100);
    // Stored in another order, as after a refusal.
    const places = new Map([
      [10, 9],
      [20, 7],
      [30, 8],
    ]);
    for (const { inbox, entry } of effects("mail")) {
      fold.mailed(inbox, entry, places.get(entry.sequence)!, now);
    }
    ack(10);
    expect(effects("purge")).toMatchObject([{ purge: { places: [9] } }]);
  });

  test("waits with deleting mail until every put of it is answered", () => {
    for (const sequence of [10, 20]) accept(sequence);
    pass(2_100);
    const [first, second] = effects("mail");
    fold.mailed(first!.inbox, first!.entry, 5, now);
    ack(10);
    expect(effects("purge")).toEqual([]);
    fold.mailed(second!.inbox, second!.entry, 6, now);
    expect(effects("purge")).toMatchObject([{ purge: { places: [5] } }]);
  });

  test("loses nothing when the mailbox refuses: it is asked again, and the log keeps the message", () => {
    accept(10);
    pass(2_100);
    const [mail] = effects("mail");
    fold.notMailed(mail!.inbox, mail!.entry, "full", now);
    expect(fold.checkpoint(100)).toBe(9);
    pass(1_100);
    expect(storeMail(5)).toEqual([10]);
  });

  test("is marked when it has as many messages as it may, and again when it has fewer", () => {
    fold = began({ mailbox: 10 });
    fold.goLive(now);
    for (let sequence = 1; sequence <= 10; sequence++) accept(sequence);
    expect(effects("mark")).toMatchObject([{ device: "d1", full: true }]);
    ack(1);
    expect(effects("mark")).toEqual([]);
    ack(2);
    expect(effects("mark")).toMatchObject([{ device: "d1", full: false }]);
  });
});

describe("a message whose time is over", () => {
  test("is dropped with a receipt, sent or not, and those behind it go on", () => {
    fold.goLive(now);
    accept(10, 3_000);
    accept(20);
    sent();
    pass(3_100);
    const receipts = effects("receipt").map(({ receipt }) => receipt);
    expect(receipts.map(({ messageId, steps }) => [messageId, steps.at(-1)?.step])).toEqual([
      ["m10", "expired"],
    ]);
    ack(20);
    expect(fold.counters).toMatchObject({ delivered: 1, expired: 1 });
  });
});

describe("an owner that takes over", () => {
  test("does nothing until it has read the log, and then sends what is left, from log and mailbox", () => {
    const mail = { app: "demo", device: "d1", messageId: "m5", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    fold.mailFound({ ...mail, ...times, sequence: 5, mailedAs: 3 }, now);
    accept(10);
    ack(5);
    accept(20);
    pass(10_000);
    expect(fold.takeEffects().filter(({ kind }) => kind !== "receipt")).toEqual([]);
    fold.goLive(now);
    const kinds = fold.takeEffects();
    expect(
      kinds.flatMap((effect) => (effect.kind === "send" ? [effect.entry.sequence] : [])),
    ).toEqual([10, 20]);
    expect(kinds.some((effect) => effect.kind === "purge" && effect.purge.places[0] === 3)).toBe(
      true,
    );
  });

  test("reads again what is in the mailbox already without sending it twice", () => {
    const mail = { app: "demo", device: "d1", messageId: "m10", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    fold.mailFound({ ...mail, ...times, sequence: 10, mailedAs: 3 }, now);
    accept(10);
    fold.goLive(now);
    const [load] = effects("load");
    fold.loaded(load!.inbox, load!.entries, found([10]), now);
    expect(sent()).toEqual([10]);
  });

  test("does not deliver what an owner before it has written down as handled, and deletes it", () => {
    const mail = { app: "demo", device: "d1", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    for (const sequence of [5, 6, 7]) {
      const header = { ...mail, ...times, messageId: `m${sequence}`, sequence };
      fold.mailFound({ ...header, mailedAs: sequence + 100 }, now);
    }
    fold.goLive(now);
    const [load] = effects("load");
    expect(load!.handled).toBe(true);
    fold.loaded(load!.inbox, load!.entries, found([5, 6, 7], 6), now);
    const after = fold.takeEffects();
    expect(after.flatMap((e) => (e.kind === "send" ? [e.entry.sequence] : []))).toEqual([7]);
    expect(after.flatMap((e) => (e.kind === "purge" ? e.purge.places : []))).toEqual([105, 106]);
    expect(fold.counters.repeatedMail).toBe(2);
  });

  test("writes down what is acknowledged of what it took over, since its predecessor may still mail it", () => {
    accept(10);
    fold.goLive(now);
    expect(sent()).toEqual([10]);
    ack(10);
    const [purge] = effects("purge");
    expect(purge!.purge).toMatchObject({ handled: 10, places: [] });
    expect(fold.checkpoint(1_000)).toBe(last - 1);
    fold.purged(purge!.inbox, now);
    expect(fold.checkpoint(1_000)).toBe(1_000);
    // What only this owner has had in hand costs nothing.
    accept(2_000);
    ack(2_000);
    expect(effects("purge")).toEqual([]);
  });

  test("writes the receipts of mail that was acknowledged to its predecessor", () => {
    const mail = { app: "demo", device: "d1", messageId: "m5", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    fold.mailFound({ ...mail, ...times, sequence: 5, mailedAs: 3 }, now);
    ack(5);
    fold.goLive(now);
    const [purge] = effects("purge");
    expect(purge!.purge).toMatchObject({ handled: 5, places: [3] });
    expect(purge!.purge.acked).toMatchObject([{ places: [3], step: { step: "acked" } }]);
  });

  test("deletes the second copy of a mail, and keeps the first", () => {
    const mail = { app: "demo", device: "d1", messageId: "m10", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    for (const mailedAs of [3, 8])
      fold.mailFound({ ...mail, ...times, sequence: 10, mailedAs }, now);
    fold.goLive(now);
    expect(effects("purge")).toMatchObject([{ purge: { places: [8] } }]);
  });

  test("drops what the mailbox does not have any more", () => {
    const mail = { app: "demo", device: "d1", messageId: "m10", business: "chat" };
    const times = { acceptedAtMs: now, expiresAtMs: now + HOUR, bytes: 3 };
    fold.mailFound({ ...mail, ...times, sequence: 10, mailedAs: 3 }, now);
    fold.goLive(now);
    const [load] = effects("load");
    fold.loaded(load!.inbox, load!.entries, found([]), now);
    expect(fold.counters.expired).toBe(1);
    expect(fold.devices).toBe(0);
  });
});
