import { afterAll, beforeAll, expect, test } from "vitest";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsNodeDeaths } from "../../internal/bus/node-deaths.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import { logSubject, nodeDownFilter } from "../../streams/subjects.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, bytes, connectTo, type TestConnection } from "./support.ts";

const LAYOUT = { partitions: 4, logStreams: 2, replicas: 1, logMaxBytes: 64 * 1024 * 1024 };

let nats: TestNats;
let connection: TestConnection;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, LAYOUT);
});

afterAll(async () => {
  expect(connection?.faults).toEqual([]);
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

test("a node's end is found in whichever log stream has it, and heard of when it is stored", async () => {
  const deaths = new NatsNodeDeaths(connection, LAYOUT.logStreams);
  const heard: string[] = [];
  new NatsMessages(connection).subscribe(nodeDownFilter("b-1"), ({ subject }) => {
    heard.push(subject);
  });
  const { appender } = appenderOn(connection);
  using _ = appender;
  let stored = 0;
  const count = () => {
    stored += 1;
  };
  appender.append(logSubject(3, "digest", "b-1"), bytes("alive"), count);
  appender.appendFirst(logSubject(2, "node-down", "a-1"), bytes("dead"), count);
  await eventually("both are stored", () => stored === 2);
  expect(await deaths.isDead("a-1")).toBe(true);
  expect(await deaths.isDead("b-1")).toBe(false);
  appender.appendFirst(logSubject(3, "node-down", "b-1"), bytes("dead"), count);
  await eventually("it is stored", () => stored === 3);
  expect(await deaths.isDead("b-1")).toBe(true);
  expect(heard).toEqual([logSubject(3, "node-down", "b-1")]);
});

test("nobody is taken for alive because the log does not answer", async () => {
  const deaths = new NatsNodeDeaths(connection, 3);
  await expect(deaths.isDead("c-1")).rejects.toThrow("cannot ask whether c-1 is over");
});
