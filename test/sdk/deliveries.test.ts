import { expect, test } from "vitest";
import { Deliveries } from "../../sdk/deliveries.ts";

function start(handledUpTo = 0n) {
  const acks: bigint[] = [];
  const handled: bigint[] = [];
  const deliveries = new Deliveries(handledUpTo, (sequence) => acks.push(sequence));
  const give = (sequence: bigint, work?: Promise<void>) =>
    deliveries.offer(sequence, () => {
      handled.push(sequence);
      return work;
    });
  return { acks, handled, deliveries, give };
}

test("a message is acknowledged after its handler is done, not before", async () => {
  const { acks, give } = start();
  const work = Promise.withResolvers<void>();
  const done = give(5n, work.promise);
  await Promise.resolve();
  expect(acks).toEqual([]);
  work.resolve();
  await done;
  expect(acks).toEqual([5n]);
});

test("messages handled in one go are acknowledged once", async () => {
  const { acks, give } = start();
  await Promise.all([give(5n), give(6n), give(9n)]);
  expect(acks).toEqual([9n]);
});

test("a slow handler holds back the acknowledgement of what came after it", async () => {
  const { acks, give, deliveries } = start();
  const work = Promise.withResolvers<void>();
  const slow = give(5n, work.promise);
  await give(6n);
  expect(deliveries.handledUpTo).toBe(0n);
  work.resolve();
  await slow;
  expect(acks).toEqual([6n]);
});

test("a duplicate is not handled again, and is acknowledged again", async () => {
  const { acks, handled, give } = start();
  await give(5n);
  await give(5n);
  expect(handled).toEqual([5n]);
  expect(acks).toEqual([5n, 5n]);
});

test("what an earlier run of the application handled is a duplicate", async () => {
  const { handled, give } = start(7n);
  await give(7n);
  await give(8n);
  expect(handled).toEqual([8n]);
});

test("a message whose handler failed is handled when the gateway sends it again", async () => {
  const { acks, handled, give } = start();
  await expect(give(5n, Promise.reject(new Error("disk full")))).rejects.toThrow("disk full");
  await give(6n);
  expect(acks).toEqual([]);
  await give(6n);
  await give(5n);
  expect(handled).toEqual([5n, 6n, 5n]);
  expect(acks).toEqual([6n]);
});
