import { expect, test } from "vitest";
import { OutboundMeter } from "../../internal/bus/outbound-meter.ts";
import { eventually } from "../support/eventually.ts";
import { testNats } from "../support/nats.ts";
import { connectTo } from "./support.ts";

const MIB = 1024 * 1024;

test("what the server has not read is bounded, and room comes back as it reads", async () => {
  await using nats = await testNats();
  await using connection = await connectTo(nats);
  const meter = new OutboundMeter(connection, 4 * MIB);
  const admitted = Array.from({ length: 6 }, () => meter.admit(MIB));
  expect(admitted).toEqual([true, true, true, true, false, false]);
  await eventually("there is room again", () => meter.admit(MIB));
});
