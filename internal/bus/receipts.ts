import { DeliverPolicy } from "@nats-io/jetstream";
import { RECEIPT_KEPT_MS, RECEIPT_STREAM } from "../../streams/layout.ts";
import { decodeJson, encodeJson, type Receipt } from "../../streams/records.ts";
import { messageReceiptsFilter, receiptSubject } from "../../streams/subjects.ts";
import type { Connection } from "./connect.ts";
import type { Appender, Receipts } from "./contract.ts";
import { pages } from "./pages.ts";

/** A message is delivered or in the mailbox long before, and then there is a newer receipt. */
const ACCEPTED_KEPT_MS = 5 * 60 * 1_000;

/** Stream HF_RECEIPT. */
export class NatsReceipts implements Receipts {
  readonly #connection: Connection;
  readonly #appender: Appender;

  constructor(connection: Connection, appender: Appender) {
    this.#connection = connection;
    this.#appender = appender;
  }

  write(receipt: Receipt): void {
    // Better none than a broker that is away costs memory for all of them.
    if (!this.#appender.ready) return;
    const seconds = Math.ceil(keptMs(receipt, Date.now()) / 1_000);
    this.#appender.append(receiptSubject(receipt), encodeJson(receipt), undefined, {
      headers: { "Nats-TTL": String(seconds) },
    });
  }

  async read(app: string, messageId: string): Promise<Receipt[]> {
    const receipts: Receipt[] = [];
    const config = {
      filter_subject: messageReceiptsFilter(app, messageId),
      deliver_policy: DeliverPolicy.All,
    };
    for await (const page of pages(this.#connection, RECEIPT_STREAM, config)) {
      for (const { data } of page) receipts.push(decodeJson<Receipt>(data));
    }
    return receipts;
  }
}

function keptMs({ steps, expiresAtMs }: Receipt, nowMs: number): number {
  switch (steps.at(-1)?.step) {
    case "accepted":
      return ACCEPTED_KEPT_MS;
    case "mailed":
      return Math.max(0, expiresAtMs - nowMs) + RECEIPT_KEPT_MS;
    default:
      return RECEIPT_KEPT_MS;
  }
}
