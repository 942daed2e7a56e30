import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WorkerHeartbeat } from "../../internal/projector/worker-heartbeat.ts";
import { PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";

let nats: TestNats;

beforeAll(async () => {
  nats = await testNats();
});
afterAll(async () => {
  await nats?.[Symbol.asyncDispose]();
});

test("beats go out while the main loop is busy, and say what they were last told", async () => {
  await using connection = await connect({ servers: nats.url });
  const heard: string[] = [];
  connection.subscribe(PROJECTOR_BEAT_SUBJECT, {
    callback: (_, { data }) => {
      heard.push(Buffer.from(data).toString());
    },
  });
  const complaints: string[] = [];
  await using heartbeat = new WorkerHeartbeat({ urls: [nats.url], name: "test" }, (why) =>
    complaints.push(why),
  );
  heartbeat.moved();
  heartbeat.say(Buffer.from("1"));
  await eventually("the first beat is heard", () => heard.length > 0);

  heartbeat.say(Buffer.from("2"));
  const before = heard.length;
  busyFor(4_000);
  await eventually("those of the busy time are there", () => heard.length >= before + 3);
  expect(heard.at(-1)).toBe("2");
  expect(complaints).toEqual([]);
});

function busyFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until) Math.sqrt(until);
}
