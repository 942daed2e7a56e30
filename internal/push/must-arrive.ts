/**
 * Takes messages that must arrive: into the log of each device's partition, whose owner delivers them.
 * JetStream's acknowledgement is the acceptance.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { DUPLICATE_WINDOW_MS } from "../../streams/layout.ts";
import { toToken } from "../../streams/names.ts";
import { partitionOf } from "../../streams/partition.ts";
import type { ReceiptStep } from "../../streams/records.ts";
import { acceptedSubject } from "../../streams/subjects.ts";
import type { KeyedAppender, Receipts } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import type { HoldfastError } from "../status/errors.ts";
import { encodeMessage, type OutgoingMessage } from "./message.ts";
import type { Sending } from "./unicast.ts";

/** How long the log may take to store a message. */
const STORED_WITHIN_MS = 5_000;
/**
 * What is not stored so long after it was given up is not sent any more: the log would not know it for a
 * repeat, if an earlier sending was stored and the answer lost, and its caller may have sent it again.
 */
const FORGOTTEN_AFTER_MS = DUPLICATE_WINDOW_MS / 3;

const MAILBOX_FULL = "the device's mailbox is full";
const FULL = "unavailable: there is no room for more, ";
const BUSY = "unavailable: more waits for the broker than may; try again in some seconds";
const UNCONFIRMED =
  "unavailable: the broker has not confirmed it, and may have it; send it again under the same message id";

export interface MustArriveOptions {
  /** To the log. One that nothing else uses. */
  appender: Pick<KeyedAppender, "append" | "ready" | "forget">;
  receipts: Receipts;
  mailboxes: { isFull(app: string, device: string): boolean };
  /** Why nothing more is taken for a partition, or undefined. */
  headroom: { lacking(partition: number): string | undefined };
  partitions: number;
  clock?: Clock;
}

/** ACCEPTED, DUPLICATE, or REFUSED with a reason. */
export interface Acceptance {
  readonly status: Status;
  readonly reason: string;
}

/** One device that a message is for. */
export interface Recipient {
  readonly device: string;
  /** The user it was sent to, "" when it was sent to the device itself. */
  readonly user: string;
}

export class MustArrive {
  readonly #o: MustArriveOptions;
  readonly #clock: Clock;
  /** Whose messages those of the calls of late are. */
  #present: { readonly since: number } | undefined;

  constructor(options: MustArriveOptions) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** To devices that differ from each other. Results are in their order. */
  accept(
    app: string,
    recipients: readonly Recipient[],
    message: OutgoingMessage,
    ttlMs: number,
  ): Sending<Acceptance[]> {
    const unconfirmed = { status: Status.REFUSED, reason: UNCONFIRMED };
    const acceptances = new Array<Acceptance>(recipients.length).fill(unconfirmed);
    const { promise: results, resolve } = Promise.withResolvers<Acceptance[]>();
    let waiting = 1;
    const deadline = this.#clock.after(STORED_WITHIN_MS, () => resolve([...acceptances]));
    const settled = () => {
      waiting -= 1;
      if (waiting > 0) return;
      deadline.cancel();
      resolve(acceptances);
    };
    const draft = new Draft(app, message, ttlMs);
    const owner = this.#owner();
    for (const [index, recipient] of recipients.entries()) {
      waiting += 1;
      this.#append(draft, recipient, owner, (status, reason = "") => {
        acceptances[index] = { status, reason };
        settled();
      });
    }
    settled();
    return { results };
  }

  /** All calls of a while have one: together they are forgotten. */
  #owner(): object {
    const now = this.#clock.monotonic();
    if (this.#present === undefined || now - this.#present.since > FORGOTTEN_AFTER_MS) {
      const owner = { since: now };
      this.#present = owner;
      this.#clock.after(2 * FORGOTTEN_AFTER_MS, () => this.#o.appender.forget(owner));
    }
    return this.#present;
  }

  #append(
    draft: Draft,
    recipient: Recipient,
    owner: object,
    done: (status: Status, reason?: string) => void,
  ): void {
    const { appender, receipts, mailboxes, headroom, partitions } = this.#o;
    const { app } = draft;
    const { device } = recipient;
    const tell = (sequence: number, step: ReceiptStep["step"], reason?: string) => {
      receipts.write(draft.receipt(device, sequence, step, reason));
    };
    const refuse = (reason: string) => {
      tell(0, "refused", reason);
      done(Status.REFUSED, reason);
    };
    if (mailboxes.isFull(app, device) || !appender.ready) {
      refuse(appender.ready ? MAILBOX_FULL : BUSY);
      return;
    }
    const partition = partitionOf(app, device, partitions);
    const lacking = headroom.lacking(partition);
    if (lacking !== undefined) {
      refuse(FULL + lacking);
      return;
    }
    appender.append(
      `${toToken(app)}.${toToken(device)}`,
      acceptedSubject(partition, app),
      draft.record(recipient),
      (sequence, duplicate) => {
        if (!duplicate) tell(sequence, "accepted");
        done(duplicate ? Status.DUPLICATE : Status.ACCEPTED);
      },
      {
        owner,
        headers: { "Nats-Msg-Id": draft.idFor(device) },
        refuseWhenFull: true,
        refused: ({ code, message }: HoldfastError) =>
          refuse(code === "unavailable" ? `${FULL}${message}` : message),
      },
    );
  }
}

/** What the records of one message to many devices share. */
class Draft {
  readonly app: string;
  readonly #message: OutgoingMessage;
  readonly #encoded: Uint8Array;
  readonly #expiresAtMs: number;

  constructor(app: string, message: OutgoingMessage, ttlMs: number) {
    this.app = app;
    this.#message = message;
    this.#encoded = encodeMessage(message);
    this.#expiresAtMs = message.sentAtMs + ttlMs;
  }

  record({ device, user }: Recipient): Uint8Array {
    const { id, content, sentAtMs } = this.#message;
    const value = {
      app: this.app,
      device,
      user,
      messageId: id,
      business: content.business,
      message: this.#encoded,
      expiresAtMs: BigInt(this.#expiresAtMs),
    };
    const body = { case: "accepted", value } as const;
    return toBinary(RecordSchema, create(RecordSchema, { atMs: BigInt(sentAtMs), body }));
  }

  /** The same for the same message to the same device. */
  idFor(device: string): string {
    return `${toToken(this.app)}/${toToken(device)}/${toToken(this.#message.id)}`;
  }

  receipt(device: string, sequence: number, step: ReceiptStep["step"], reason?: string) {
    const { id: messageId, content, sentAtMs: at } = this.#message;
    return {
      app: this.app,
      device,
      messageId,
      business: content.business,
      sequence,
      expiresAtMs: this.#expiresAtMs,
      steps: [reason === undefined ? { step, at } : { step, at, reason }],
    };
  }
}
