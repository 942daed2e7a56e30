import { DeliverPolicy, jetstreamManager } from "@nats-io/jetstream";
import { RECEIPT_INDEX_STREAM, RECEIPT_KEPT_MS, RECEIPT_STREAM } from "../../streams/layout.ts";
import type { Receipt } from "../../streams/records.ts";
import { receiptIndexSubject, receiptPageSubject } from "../../streams/subjects.ts";
import { type Clock, systemClock, type Timer } from "../clock/clock.ts";
import type { Connection } from "./connect.ts";
import type { Appender, Receipts } from "./contract.ts";
import { natsError } from "./nats-errors.ts";
import { pages } from "./pages.ts";
import {
  decodePage,
  encodeIndex,
  encodePage,
  findInIndex,
  hashOf,
  shardOf,
} from "./receipt-pages.ts";

/** A message is delivered or in the mailbox long before, and then there is a newer receipt. */
const ACCEPTED_KEPT_MS = 5 * 60 * 1_000;
/** How long receipts are gathered: shortly while there are few, longer when that makes larger pages. */
const GATHER_MS = { few: 50, many: 1_000 };
/** What counts as many, in the time of `few`. */
const MANY = 50;
/** A page is full with so many. */
const MOST = 256;

/** Kept for the same time, about, and in one shard. */
interface Page {
  readonly shard: number;
  readonly receipts: Receipt[];
  readonly hashes: number[];
  keptMs: number;
}

/** Streams HF_RECEIPT, HF_RECEIPT_INDEX. */
export class NatsReceipts implements Receipts, Disposable {
  readonly #connection: Connection;
  readonly #appender: Appender;
  readonly #clock: Clock;
  #pages = new Map<string, Page>();
  #waiting = 0;
  #gatherMs = GATHER_MS.few;
  #timer: Timer | undefined;

  constructor(connection: Connection, appender: Appender, clock: Clock = systemClock) {
    this.#connection = connection;
    this.#appender = appender;
    this.#clock = clock;
  }

  write(receipt: Receipt): void {
    // Better none than a broker that is away costs memory for all of them.
    if (!this.#appender.ready) return;
    const hash = hashOf(receipt.app, receipt.messageId);
    const { kind, keptMs } = keeping(receipt, this.#clock.now());
    const shard = shardOf(hash);
    const key = `${kind} ${shard}`;
    let page = this.#pages.get(key);
    if (page === undefined) {
      page = { shard, receipts: [], hashes: [], keptMs };
      this.#pages.set(key, page);
    }
    page.receipts.push(receipt);
    page.hashes.push(hash);
    page.keptMs = Math.max(page.keptMs, keptMs);
    this.#waiting += 1;
    this.#timer ??= this.#clock.after(this.#gatherMs, () => this.flush());
    if (page.receipts.length < MOST) return;
    this.#pages.delete(key);
    this.#store(page);
  }

  /** Stores what was gathered. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const perFew = (this.#waiting * GATHER_MS.few) / this.#gatherMs;
    this.#gatherMs = perFew > MANY ? GATHER_MS.many : GATHER_MS.few;
    this.#waiting = 0;
    const gathered = this.#pages;
    this.#pages = new Map();
    for (const page of gathered.values()) this.#store(page);
  }

  [Symbol.dispose](): void {
    this.flush();
  }

  async read(app: string, messageId: string): Promise<Receipt[]> {
    const hash = hashOf(app, messageId);
    const places: number[] = [];
    const config = {
      filter_subject: receiptIndexSubject(shardOf(hash)),
      deliver_policy: DeliverPolicy.All,
    };
    for await (const page of pages(this.#connection, RECEIPT_INDEX_STREAM, config)) {
      for (const { data } of page) {
        const place = findInIndex(data, hash);
        if (place !== undefined) places.push(place);
      }
    }
    const found = await Promise.all(places.map((place) => this.#page(place)));
    return found.flat().filter((one) => one.app === app && one.messageId === messageId);
  }

  #store({ shard, receipts, hashes, keptMs }: Page): void {
    const headers = { "Nats-TTL": String(Math.ceil(keptMs / 1_000)) };
    const index = (place: number) => {
      this.#appender.append(receiptIndexSubject(shard), encodeIndex(place, hashes), undefined, {
        headers,
      });
    };
    this.#appender.append(receiptPageSubject(shard), encodePage(receipts), index, { headers });
  }

  /** Nothing if it is there no more. */
  async #page(seq: number): Promise<Receipt[]> {
    try {
      const jsm = await jetstreamManager(this.#connection.nc, { checkAPI: false });
      const found = await jsm.direct.getMessage(RECEIPT_STREAM, { seq });
      return found === null ? [] : decodePage(found.data);
    } catch (reason) {
      throw natsError("cannot read receipts", reason);
    }
  }
}

type Kind = "accepted" | "mailed" | "over";

function keeping({ steps, expiresAtMs }: Receipt, nowMs: number): { kind: Kind; keptMs: number } {
  switch (steps.at(-1)?.step) {
    case "accepted":
      return { kind: "accepted", keptMs: ACCEPTED_KEPT_MS };
    case "mailed":
      return { kind: "mailed", keptMs: Math.max(0, expiresAtMs - nowMs) + RECEIPT_KEPT_MS };
    default:
      return { kind: "over", keptMs: RECEIPT_KEPT_MS };
  }
}
