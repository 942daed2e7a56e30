import { DeliverPolicy, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { type Msg, nuid } from "@nats-io/transport-node";
import { MAIL_STREAM } from "../../streams/layout.ts";
import { fromToken, toToken } from "../../streams/names.ts";
import { partitionOf } from "../../streams/partition.ts";
import { mailPartitionFilter, mailSubject, parseMailSubject } from "../../streams/subjects.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Connection } from "./connect.ts";
import type { Appender, Mail, Mailbox, MailHeader } from "./contract.ts";
import { parseDelivery } from "./delivery.ts";
import { gather } from "./gather.ts";
import { natsError } from "./nats-errors.ts";
import { pages, readRefusal } from "./pages.ts";

/** What the owner of a partition has to know of a mail without reading it: five tokens. */
const MAIL_HEADER = "Holdfast-Mail";
const END_OF_BATCH = 204;
const NOT_FOUND = 404;
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

  async load(
    app: string,
    device: string,
    from: number,
    limit: number,
  ): Promise<ReadonlyMap<number, Uint8Array>> {
    const next_by_subj = this.#subject(app, device);
    const found = await this.#batch(next_by_subj, from, limit);
    if (found.size > 0) return found;
    // Nothing there, or nothing yet on the copy that answered: the leader knows.
    try {
      const first = await this.#jsm.streams.getMessage(MAIL_STREAM, { seq: from });
      if (first?.subject === next_by_subj) {
        const { sequence } = decodeHeader(first.header.get(MAIL_HEADER));
        found.set(sequence, Uint8Array.from(first.data));
      }
      return found;
    } catch (reason) {
      throw natsError(`cannot read the mail of ${device}`, reason);
    }
  }

  /** A batch direct get, which the client library ends with an error where it finds nothing. */
  async #batch(next_by_subj: string, seq: number, batch: number): Promise<Map<number, Uint8Array>> {
    const found = new Map<number, Uint8Array>();
    const subject = `$JS.API.DIRECT.GET.${MAIL_STREAM}`;
    const request = { seq, next_by_subj, batch };
    const most = Number.POSITIVE_INFINITY;
    const end = await gather(this.#connection, { subject, request, most }, (message) => {
      const { sequence } = decodeHeader(message.headers?.get(MAIL_HEADER) ?? "");
      if (sequence > 0) found.set(sequence, Uint8Array.from(message.data));
    });
    if (end?.code === END_OF_BATCH || end?.code === NOT_FOUND) return found;
    throw readRefusal(MAIL_STREAM, end?.code, end?.description);
  }

  async purge(
    app: string,
    device: string,
    below: number,
    single: readonly number[],
  ): Promise<void> {
    const filter = this.#subject(app, device);
    try {
      if (below > 0) await this.#jsm.streams.purge(MAIL_STREAM, { filter, seq: below });
      for (const sequence of single) {
        await this.#jsm.streams.deleteMessage(MAIL_STREAM, sequence, false);
      }
    } catch (reason) {
      throw natsError(`cannot delete mail of ${device}`, reason);
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

/** undefined for what this gateway has not put there. */
function headerOf(message: Msg): MailHeader | undefined {
  const text = message.headers?.get(MAIL_HEADER);
  const mailedAs = parseDelivery(message.reply)?.sequence;
  if (!text || mailedAs === undefined) return undefined;
  return { ...parseMailSubject(message.subject), ...decodeHeader(text), mailedAs };
}
