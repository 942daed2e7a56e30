import { expect, test } from "vitest";
import { Headroom } from "../../internal/push/headroom.ts";
import { FakeStreams } from "../support/fake-streams.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** Lets what was asked be answered. */
const answered = () => new Promise((done) => setTimeout(done));

async function headroomOf(log0: number, log1: number, mail: number) {
  const streams = new FakeStreams();
  const clock = new VirtualClock();
  const say = (name: string, bytes: number) => streams.say(name, { bytes, maxBytes: 100 });
  say("HF_LOG_0", log0);
  say("HF_LOG_1", log1);
  say("HF_MAIL", mail);
  const headroom = new Headroom(streams, 2, clock);
  headroom.lacking(0);
  await answered();
  return { headroom, streams, clock, say };
}

test("a log that is nearly full takes no more messages for its partitions, and the other does", async () => {
  const { headroom } = await headroomOf(81, 80, 0);
  expect(headroom.lacking(2)).toBe("the log is full");
  expect(headroom.lacking(3)).toBeUndefined();
});

test("mailboxes that are full together take no more for anybody, until there is room", async () => {
  const { headroom, clock, say } = await headroomOf(0, 0, 91);
  expect(headroom.lacking(1)).toBe("the mailboxes together are full");
  say("HF_MAIL", 50);
  clock.advance(1_000);
  headroom.lacking(1);
  await answered();
  expect(headroom.lacking(1)).toBeUndefined();
});

test("the streams are asked once a second at most, and not without messages", async () => {
  const { headroom, streams, clock } = await headroomOf(0, 0, 0);
  for (let count = 0; count < 100; count++) headroom.lacking(count);
  await answered();
  expect(streams.asked).toBe(3);
  clock.advance(60_000);
  await answered();
  expect(streams.asked).toBe(3);
});
