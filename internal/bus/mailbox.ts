import {
  DeliverPolicy,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { LRUCache } from "lru-cache";
import { MAIL_STREAM } from "../../streams/layout.ts";
import { fromToken, toToken } from "../../streams/names.ts";
import { partitionOf } from "../../streams/partition.ts";
import { mailPartitionFilter, mailSubject, parseMailSubject } from "../../streams/subjects.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import type { Appender, Mail, Mailbox, MailHeader, PutMail } from "./contract.ts";
import { parseDelivery } from "./delivery.ts";
import { apiErrorCode, natsError } from "./nats-errors.ts";
import { pages } from "./pages.ts";
import { isNotThere } from "./stored-at.ts";

/** What the owner of a partition has to know of a mail without reading it: five tokens. */
const MAIL_HEADER = "Holdfast-Mail";
const LIST_TRIES = 50;
const LIST_PAUSE_MS = 100;
/** About what is being sent at any time. */
const PLACES_SEEN = 50_000;

/** Stream HF_MAIL. */
export class NatsMailbox implements Mailbox {
  readonly #connection: Connection;
  readonly #jsm: JetStreamManager;
  readonly #appender: MailboxOptions["appender"];
  readonly #partitions: number;
  /** Whose mail is where, as the server has said since it was last away: nothing can have changed since. */
  readonly #seen = new LRUCache<number, string>({ max: PLACES_SEEN });

  private constructor(connection: Connection, jsm: JetStreamManager, options: MailboxOptions) {
    this.#connection = connection;
    this.#jsm = jsm;
    this.#appender = options.appender;
    this.#partitions = options.partitions;
    connection.link.watch(() => this.#seen.clear());
  }

  static async open(connection: Connection, options: MailboxOptions): Promise<NatsMailbox> {
    const jsm = await jetstreamManager(connection.nc, { checkAPI: false });
    return new NatsMailbox(connection, jsm, options);
  }

  put(mail: Mail, { owner, stored, refused }: PutMail): void {
    const { app, device, sequence, messageId, expiresAtMs, message } = mail;
    const leftSeconds = Math.ceil((expiresAtMs - Date.now()) / 1_000);
    const headers = {
      // The same from whichever owner, so that what two of them store is stored once.
      "Nats-Msg-Id": [toToken(app), toToken(device), sequence, toToken(messageId)].join("/"),
      "Nats-TTL": String(Math.max(1, leftSeconds)),
      [MAIL_HEADER]: encodeHeader(mail),
    };
    const subject = this.#subject(app, device);
    const storedAs = (place: number, duplicate: boolean) => {
      if (!duplicate) this.#seen.set(place, subject);
      stored(place);
    };
    this.#appender.append(subject, message, storedAs, { headers, refused, owner });
  }

  forget(owner: object): void {
    this.#appender.forget(owner);
  }

  async *list(partition: number): AsyncGenerator<MailHeader[]> {
    const config = {
      filter_subject: mailPartitionFilter(partition),
      deliver_policy: DeliverPolicy.All,
      headers_only: true,
    };
    let seen = 0;
    for (let attempt = 0; attempt < LIST_TRIES; attempt++) {
      for await (const page of pages(this.#connection, MAIL_STREAM, {
        ...config,
        ...(seen > 0 && { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: seen + 1 }),
      })) {
        const headers = page.map(headerOf).filter((header) => header !== undefined);
        seen = headers.at(-1)?.mailedAs ?? seen;
        yield headers;
      }
      // The copy that was read may lag behind; what it lacks, nobody else would know of.
      if (seen >= (await this.#last(partition))) return;
      await new Promise((again) => setTimeout(again, LIST_PAUSE_MS));
    }
    throw new HoldfastError("unavailable", `the mail of partition ${partition} cannot be read`);
  }

  /**
   * Each by its place: to find what is next of one device, the server would walk over the mail of all
   * the devices between.
   */
  async load(
    app: string,
    device: string,
    places: readonly number[],
  ): Promise<ReadonlyMap<number, Omit<Mail, "app" | "device">>> {
    const subject = this.#subject(app, device);
    const found = new Map<number, Omit<Mail, "app" | "device">>();
    try {
      for (const mail of await Promise.all(places.map((place) => this.#get(place)))) {
        if (mail?.subject !== subject) continue;
        this.#seen.set(mail.seq, subject);
        const header = decodeHeader(mail.header.get(MAIL_HEADER));
        found.set(header.sequence, { ...header, message: Uint8Array.from(mail.data) });
      }
      return found;
    } catch (reason) {
      throw natsError(`cannot read the mail of ${device}`, reason);
    }
  }

  async purge(app: string, device: string, places: readonly number[]): Promise<void> {
    const subject = this.#subject(app, device);
    try {
      for (const place of places) {
        if (await this.#isOf(subject, place)) await this.#delete(place);
      }
    } catch (reason) {
      throw natsError("cannot delete mail", reason);
    }
  }

  /** A deletion names a place, and nothing but asking tells whose it is. */
  async #isOf(subject: string, place: number): Promise<boolean> {
    const seen = this.#seen.get(place);
    if (seen !== undefined) return seen === subject;
    try {
      return (await this.#jsm.streams.getMessage(MAIL_STREAM, { seq: place }))?.subject === subject;
    } catch (reason) {
      if (isNotThere(apiErrorCode(reason))) return false;
      throw reason;
    }
  }

  /** Any copy may answer, also one that does not have it yet: then the leader knows. */
  async #get(seq: number): Promise<StoredMsg | null> {
    return (
      (await this.#jsm.direct.getMessage(MAIL_STREAM, { seq })) ??
      (await this.#jsm.streams.getMessage(MAIL_STREAM, { seq }))
    );
  }

  async #delete(place: number): Promise<void> {
    try {
      await this.#jsm.streams.deleteMessage(MAIL_STREAM, place, false);
    } catch (reason) {
      // Its time was over, or an earlier try did it.
      if (!isNotThere(apiErrorCode(reason))) throw reason;
    }
  }

  /** The place of the partition's newest mail, as its leader knows it. */
  async #last(partition: number): Promise<number> {
    try {
      const last_by_subj = mailPartitionFilter(partition);
      return (await this.#jsm.streams.getMessage(MAIL_STREAM, { last_by_subj }))?.seq ?? 0;
    } catch (reason) {
      throw natsError(`cannot read the mail of partition ${partition}`, reason);
    }
  }

  #subject(app: string, device: string): string {
    return mailSubject(partitionOf(app, device, this.#partitions), app, device);
  }
}

export interface MailboxOptions {
  /** One that nothing else uses: a stream that takes nothing holds up its appender. */
  appender: Pick<Appender, "append"> & { forget(owner: object): void };
  partitions: number;
}

function encodeHeader(mail: Mail): string {
  const { sequence, acceptedAtMs, expiresAtMs, business, messageId } = mail;
  return `${sequence} ${acceptedAtMs} ${expiresAtMs} ${toToken(business)} ${toToken(messageId)}`;
}

function decodeHeader(text: string): Omit<Mail, "app" | "device" | "message"> {
  const [sequence, acceptedAtMs, expiresAtMs, business = "", messageId = ""] = text.split(" ");
  return {
    sequence: Number(sequence ?? 0),
    acceptedAtMs: Number(acceptedAtMs),
    expiresAtMs: Number(expiresAtMs),
    business: fromToken(business),
    messageId: fromToken(messageId),
  };
}

/** undefined for what this gateway has not put there. */
function headerOf(message: Msg): MailHeader | undefined {
  const text = message.headers?.get(MAIL_HEADER);
  const mailedAs = parseDelivery(message.reply)?.sequence;
  if (!text || mailedAs === undefined) return undefined;
  // What the message would have been, of which only the headers came.
  const bytes = Number(message.headers?.get("Nats-Msg-Size"));
  return { ...parseMailSubject(message.subject), ...decodeHeader(text), mailedAs, bytes };
}
