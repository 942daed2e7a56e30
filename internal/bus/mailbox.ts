import {
  DeliverPolicy,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import { type Msg, nuid } from "@nats-io/transport-node";
import { MAIL_STREAM } from "../../streams/layout.ts";
import { fromToken, toToken } from "../../streams/names.ts";
import { partitionOf } from "../../streams/partition.ts";
import { mailPartitionFilter, mailSubject, parseMailSubject } from "../../streams/subjects.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import type { Appender, Mail, Mailbox, MailHeader } from "./contract.ts";
import { parseDelivery } from "./delivery.ts";
import { apiErrorCode, JS, natsError } from "./nats-errors.ts";
import { pages } from "./pages.ts";

/** What the owner of a partition has to know of a mail without reading it: five tokens. */
const MAIL_HEADER = "Holdfast-Mail";
const LIST_TRIES = 50;
const LIST_PAUSE_MS = 100;

/** Stream HF_MAIL. */
export class NatsMailbox implements Mailbox {
  readonly #connection: Connection;
  readonly #jsm: JetStreamManager;
  readonly #appender: Appender;
  readonly #partitions: number;
  /** Names each put, so that one the appender sent twice is stored once. */
  readonly #boot = nuid.next();
  #puts = 0;

  private constructor(connection: Connection, jsm: JetStreamManager, options: MailboxOptions) {
    this.#connection = connection;
    this.#jsm = jsm;
    this.#appender = options.appender;
    this.#partitions = options.partitions;
  }

  static async open(connection: Connection, options: MailboxOptions): Promise<NatsMailbox> {
    const jsm = await jetstreamManager(connection.nc, { checkAPI: false });
    return new NatsMailbox(connection, jsm, options);
  }

  put(mail: Mail, stored: (mailedAs: number) => void, refused: (why: HoldfastError) => void): void {
    this.#puts += 1;
    const leftSeconds = Math.ceil((mail.expiresAtMs - Date.now()) / 1_000);
    const headers = {
      "Nats-Msg-Id": `${this.#boot}.${this.#puts}`,
      "Nats-TTL": String(Math.max(1, leftSeconds)),
      [MAIL_HEADER]: encodeHeader(mail),
    };
    const subject = this.#subject(mail.app, mail.device);
    this.#appender.append(subject, mail.message, stored, { headers, refused });
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
  ): Promise<ReadonlyMap<number, Uint8Array>> {
    const subject = this.#subject(app, device);
    const found = new Map<number, Uint8Array>();
    try {
      for (const mail of await Promise.all(places.map((place) => this.#get(place)))) {
        if (mail?.subject !== subject) continue;
        const { sequence } = decodeHeader(mail.header.get(MAIL_HEADER));
        found.set(sequence, Uint8Array.from(mail.data));
      }
      return found;
    } catch (reason) {
      throw natsError(`cannot read the mail of ${device}`, reason);
    }
  }

  async purge(places: readonly number[]): Promise<void> {
    try {
      for (const place of places) await this.#delete(place);
    } catch (reason) {
      throw natsError("cannot delete mail", reason);
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
  appender: Appender;
  partitions: number;
}

function encodeHeader(mail: Mail): string {
  const { sequence, acceptedAtMs, expiresAtMs, business, messageId } = mail;
  return `${sequence} ${acceptedAtMs} ${expiresAtMs} ${toToken(business)} ${toToken(messageId)}`;
}

function decodeHeader(text: string): Omit<MailHeader, "app" | "device" | "mailedAs"> {
  const [sequence, acceptedAtMs, expiresAtMs, business = "", messageId = ""] = text.split(" ");
  return {
    sequence: Number(sequence ?? 0),
    acceptedAtMs: Number(acceptedAtMs),
    expiresAtMs: Number(expiresAtMs),
    business: fromToken(business),
    messageId: fromToken(messageId),
  };
}

function isNotThere(code: number | undefined): boolean {
  return code === JS.sequenceNotFound || code === JS.noMessageFound;
}

/** undefined for what this gateway has not put there. */
function headerOf(message: Msg): MailHeader | undefined {
  const text = message.headers?.get(MAIL_HEADER);
  const mailedAs = parseDelivery(message.reply)?.sequence;
  if (!text || mailedAs === undefined) return undefined;
  return { ...parseMailSubject(message.subject), ...decodeHeader(text), mailedAs };
}
