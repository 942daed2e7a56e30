import { randomUUID } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeIndex, encodePage, hashOf } from "../../internal/bus/receipt-pages.ts";
import { NatsReceipts } from "../../internal/bus/receipts.ts";
import { reconcile } from "../../internal/bus/reconcile.ts";
import {
  RECEIPT_INDEX_BYTES,
  RECEIPT_INDEX_STREAM,
  RECEIPT_KEPT_MS,
  RECEIPT_PAGE_BYTES,
  RECEIPT_STREAM,
} from "../../streams/layout.ts";
import type { Receipt } from "../../streams/records.ts";
import { eventually } from "../support/eventually.ts";
import { type TestNats, testNats } from "../support/nats.ts";
import { appenderOn, connectTo, type TestConnection } from "./support.ts";

let nats: TestNats;
let connection: TestConnection;

beforeAll(async () => {
  nats = await testNats();
  connection = await connectTo(nats);
  await reconcile(connection.nc, { partitions: 4, logStreams: 1, replicas: 1, logMaxBytes: 1e8 });
});

afterAll(async () => {
  expect(connection?.faults).toEqual([]);
  await connection?.close();
  await nats?.[Symbol.asyncDispose]();
});

function receiptsHere(): NatsReceipts {
  return new NatsReceipts(connection, appenderOn(connection).appender);
}

const receipt = (messageId: string, to: string, step: "accepted" | "mailed" | "acked") => ({
  app: "demo",
  device: to,
  messageId,
  business: "chat",
  sequence: 7,
  expiresAtMs: Date.now() + 60_000,
  steps: [{ step, at: 1 }],
});

/** As an owner writes one of a message that was delivered at once. */
function delivered(number: number): Receipt {
  const at = 1_764_294_000_000 + number;
  const connectionId = `worker-${number % 4}-1a2b3c.${100_000 + ((number * 7_919) % 60_000)}`;
  const node = `worker-${number % 4}-1a2b3c`;
  return {
    app: "demo",
    device: `device-${(number * 7_919) % 60_000}`,
    messageId: randomUUID(),
    business: "orders",
    sequence: 1_764_294_000_000_000 + number * 3,
    expiresAtMs: at + 86_400_000,
    steps: [
      { step: "accepted", at },
      { step: "routed", at: at + 2, node, connection: connectionId, attempt: 1 },
      { step: "written", at: at + 3, node, connection: connectionId, attempt: 1 },
      { step: "acked", at: at + 31, node, connection: connectionId },
    ],
  };
}

describe("receipts", () => {
  test("of one message are read back in order, for all of its devices", async () => {
    const receipts = receiptsHere();
    const written = [
      receipt("a 1", "d1", "accepted"),
      receipt("a 1", "d2", "accepted"),
      receipt("a 1", "d1", "acked"),
    ];
    for (const one of written) receipts.write(one);
    receipts.write(receipt("a", "d1", "mailed"));
    const all = async () => {
      const found = await receipts.read("demo", "a 1");
      return found.length === written.length && found;
    };
    expect(await eventually("all are stored", all)).toEqual(written);
    expect(await receipts.read("other", "a 1")).toEqual([]);
  });

  test("of thousands of messages take few messages of the stream, and each is found", async () => {
    const receipts = receiptsHere();
    const jsm = await jetstreamManager(connection.nc);
    const stored = async (stream: string) => (await jsm.streams.info(stream)).state.messages;
    const before = await stored(RECEIPT_STREAM);
    const count = 20_000;
    const written = Array.from({ length: count }, (_, number) => delivered(number));
    for (const one of written) receipts.write(one);
    receipts.flush();
    for (const place of [0, 7_777, count - 1]) {
      const { messageId } = written[place]!;
      const found = async () => {
        const [first] = await receipts.read("demo", messageId);
        return first;
      };
      expect(await eventually("it is stored", found)).toEqual(written[place]);
    }
    expect((await stored(RECEIPT_STREAM)) - before).toBeLessThan(count / 100);
    expect(await stored(RECEIPT_INDEX_STREAM)).toBe(await stored(RECEIPT_STREAM));
  });

  test("of 5,000 messages a second are kept for as long as is promised", () => {
    const perSecond = 5_000;
    const page = Array.from({ length: 256 }, (_, number) => delivered(number));
    const hashes = page.map(({ app, messageId }) => hashOf(app, messageId));
    // What a stream adds to each message: subject, headers and its own record of it.
    const overhead = 120;
    const bytesEach = (encodePage(page).length + overhead) / page.length;
    const indexEach = (encodeIndex(1, hashes).length + overhead) / page.length;
    // Those of acceptance are smaller, and kept for 5 minutes.
    const share = 1 + 5 / 60;
    const keptMs = (bound: number, each: number) => (bound / (perSecond * each * share)) * 1_000;
    expect(keptMs(RECEIPT_PAGE_BYTES, bytesEach)).toBeGreaterThan(RECEIPT_KEPT_MS);
    expect(keptMs(RECEIPT_INDEX_BYTES, indexEach)).toBeGreaterThan(RECEIPT_KEPT_MS);
  });
});
