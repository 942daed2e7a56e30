/** What was accepted outlives a full store, and other people's floods. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { call, startGateway } from "../support/gateway.ts";
import { testNats } from "../support/nats.ts";

const MIB = 1024 ** 2;
const PATIENCE = { withinMs: 60_000 };

interface PushAnswer {
  results: { status?: string; reason?: string }[];
}

test("a log without projectors takes messages until it is full, then refuses, and loses none", {
  timeout: 180_000,
}, async () => {
  await using nats = await testNats();
  const env = {
    HOLDFAST_NATS_URL: nats.url,
    HOLDFAST_STORE_MAX_BYTES: String(64 * MIB),
    HOLDFAST_LOG_MAX_BYTES: String(4 * MIB),
  };
  await using push = await startGateway("push", env);
  const url = await push.address("push", "http");
  const send = async (count: number) => {
    const { results } = await call<PushAnswer>(url, "holdfast.push.v1.PushService/PushToDevices", {
      app: "demo",
      devices: [`d${count % 20}`],
      message: { messageId: `m${count}`, business: "chat", text: "x".repeat(20_000) },
      options: { delivery: "MUST_ARRIVE" },
    });
    return results[0] ?? {};
  };

  let accepted = 0;
  let sent = 0;
  let refusal: string | undefined;
  await eventually(
    "it is refused",
    async () => {
      const { status, reason } = await send(sent++);
      if (status === "ACCEPTED") accepted += 1;
      else refusal = reason;
      return refusal !== undefined;
    },
    PATIENCE,
  );
  expect(refusal).toMatch(/^unavailable: there is no room for more/);
  expect(accepted).toBeGreaterThan(100);

  await using nc = await connect({ servers: nats.url });
  const jsm = await jetstreamManager(nc);
  const messages = async (stream: string) => (await jsm.streams.info(stream)).state.messages;
  expect(await messages("HF_LOG_0")).toBe(accepted);

  await using _ = await startGateway("projector", env);
  await eventually(
    "all are in the mailbox",
    async () => (await messages("HF_MAIL")) === accepted,
    PATIENCE,
  );
  // The log is needed no more, so there is room again.
  await eventually(
    "it is accepted again",
    async () => (await send(sent++)).status === "ACCEPTED",
    PATIENCE,
  );
});
