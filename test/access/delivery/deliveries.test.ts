import { expect, test } from "vitest";
import { Deliveries } from "../../../internal/access/delivery/deliveries.ts";

const at = 7;

test("a message that follows one which was lost is left out until that has come", () => {
  const deliveries = new Deliveries();
  expect(deliveries.take(at, 10, 0)).toBe(true);
  expect(deliveries.take(at, 30, 20)).toBe(false);
  expect(deliveries.take(at, 20, 10)).toBe(true);
  expect(deliveries.take(at, 30, 20)).toBe(true);
});

test("the oldest unacknowledged message is always written", () => {
  const deliveries = new Deliveries();
  expect(deliveries.take(at, 500, 0)).toBe(true);
  expect(deliveries.take(at, 500, 0)).toBe(true);
});

test("what was never sent cannot be acknowledged", () => {
  const deliveries = new Deliveries();
  expect(deliveries.acknowledge(at, 10)).toEqual({ kind: "wrong" });
  deliveries.take(at, 10, 0);
  expect(deliveries.acknowledge(at, 11)).toEqual({ kind: "wrong" });
  expect(deliveries.acknowledge(at, 10)).toEqual({ kind: "new", sequence: 10 });
  expect(deliveries.acknowledge(at + 1, 10)).toEqual({ kind: "wrong" });
});

test("an acknowledgement that was made before, or goes back, is none", () => {
  const deliveries = new Deliveries();
  deliveries.take(at, 10, 0);
  deliveries.take(at, 20, 10);
  deliveries.acknowledge(at, 20);
  expect(deliveries.acknowledge(at, 20)).toEqual({ kind: "repeated" });
  expect(deliveries.acknowledge(at, 10)).toEqual({ kind: "repeated" });
});

test("what is sent again can be acknowledged again", () => {
  const deliveries = new Deliveries();
  deliveries.take(at, 10, 0);
  deliveries.acknowledge(at, 10);
  deliveries.take(at, 10, 0);
  expect(deliveries.acknowledge(at, 10)).toEqual({ kind: "new", sequence: 10 });
});

test("a client that has handled more on earlier connections settles what this one was sent", () => {
  const deliveries = new Deliveries();
  deliveries.claim(at, 50);
  deliveries.take(at, 40, 0);
  expect(deliveries.acknowledge(at, 50)).toEqual({ kind: "new", sequence: 40 });
  expect(deliveries.acknowledge(at, 51)).toEqual({ kind: "wrong" });
});

test("a connection that has ended leaves nothing behind", () => {
  const deliveries = new Deliveries();
  deliveries.claim(at, 50);
  deliveries.take(at, 40, 0);
  deliveries.forget(at);
  expect(deliveries.size).toBe(0);
});
