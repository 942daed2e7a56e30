import { headers } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TestNats, testNats } from "../support/nats.ts";
import { patient } from "../support/patience.ts";
import { bytes, connectTo, type TestConnection, text } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;
let listener: TestConnection;

interface Seen {
  subject: string;
  data: string;
  reply: string;
  header: string;
}
const seen: Seen[] = [];

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  listener = await connectTo(nats);
  listener.nc.subscribe("out.>", {
    callback: (_, message) => {
      const { subject, data, reply = "" } = message;
      seen.push({ subject, data: text(data), reply, header: message.headers?.get("Name") ?? "" });
    },
  });
  await listener.nc.flush();
});

afterAll(async () => {
  await connection?.close();
  await listener?.close();
  await nats?.[Symbol.asyncDispose]();
});

async function seenAfter(publish: () => void): Promise<Seen[]> {
  seen.length = 0;
  publish();
  await connection.outbound.flush();
  await listener.nc.flush();
  return [...seen];
}

test("messages arrive whole, in the order in which they were published", async () => {
  const named = headers();
  named.set("Name", "Zoë");
  const large = "x".repeat(100_000);
  const all = await seenAfter(() => {
    connection.outbound.publish("out.1", bytes("one"));
    connection.outbound.publish("out.2", bytes(""), "reply.to");
    connection.outbound.publish("out.3", bytes("three"), "", named);
    connection.outbound.publish("out.4", bytes(large));
    connection.outbound.publish("out.5", bytes(""), "reply.to", named);
    connection.outbound.publish("out.6", bytes("größer"));
  });
  expect(all).toEqual([
    { subject: "out.1", data: "one", reply: "", header: "" },
    { subject: "out.2", data: "", reply: "reply.to", header: "" },
    { subject: "out.3", data: "three", reply: "", header: "Zoë" },
    { subject: "out.4", data: large, reply: "", header: "" },
    { subject: "out.5", data: "", reply: "reply.to", header: "Zoë" },
    { subject: "out.6", data: "größer", reply: "", header: "" },
  ]);
});

test("one that is larger than the server takes is refused, and takes no other along", async () => {
  const all = await seenAfter(() => {
    connection.outbound.publish("out.before", bytes("1"));
    const large = new Uint8Array(connection.maxPayload + 1);
    expect(() => connection.outbound.publish("out.large", large)).toThrow(/max_payload/);
    connection.outbound.publish("out.after", bytes("2"));
  });
  expect(all.map(({ subject }) => subject)).toEqual(["out.before", "out.after"]);
});

test("what is published while the broker is away is lost, and what follows is not", async () => {
  await nats.kill();
  await expect.poll(() => connection.link.connected).toBe(false);
  connection.outbound.publish("out.lost", bytes("lost"));
  await nats.start();
  await expect
    .poll(() => connection.link.connected && listener.link.connected, { timeout: patient(20_000) })
    .toBe(true);
  const all = await seenAfter(() => connection.outbound.publish("out.kept", bytes("kept")));
  expect(all.map(({ data }) => data)).toEqual(["kept"]);
});

test("a closed connection says so", async () => {
  const closed = await connectTo(nats);
  await closed.close();
  expect(() => closed.outbound.publish("out.late", bytes("x"))).toThrow(/closed/);
});
