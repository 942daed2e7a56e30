import type { ReceiptStep } from "../../../streams/records.ts";
import type { Hold } from "./holds.ts";
import type { MailPlace } from "./mail-index.ts";

/**
 * A must-arrive message of one device that is neither acknowledged nor expired, and that is in memory:
 * it is only in the log, or being sent. What is only in the mailbox is a `MailPlace`.
 */
export interface Entry {
  /** Its delivery sequence. */
  readonly sequence: number;
  /** Unix ms. */
  readonly expiresAtMs: number;
  /** Unix ms, by the owner's clock: when it came to know of it. */
  readonly sinceMs: number;
  /** The length of the message. */
  readonly bytes: number;
  /** What says so of it is known once the message was read from the mailbox, or came from the log. */
  about: About | undefined;
  /** Keeps its record in the log, while nothing else has the message. */
  hold: Hold | undefined;
  /** Encoded holdfast.wire.v1.Message; undefined while only the mailbox has it. */
  message: Uint8Array | undefined;
  /** Its sequence in the mail stream, 0 while it is not there. */
  mailedAs: number;
  /** On its way into the mailbox. */
  mailing: boolean;
  /** No longer in the inbox: acknowledged, expired, or only in the mailbox again. */
  over: boolean;
  /** How often it was sent. */
  attempts: number;
  /** What became of it since its last receipt. */
  steps: ReceiptStep[];
}

/** Of a message, for its receipts. */
export interface About {
  readonly messageId: string;
  readonly business: string;
  /** Unix ms, by the clock of the push API. */
  readonly acceptedAtMs: number;
}

/** A message that was accepted just now: what the log holds of it. */
export interface NewEntry extends About {
  sequence: number;
  expiresAtMs: number;
  message: Uint8Array;
}

export function acceptedEntry(accepted: NewEntry, hold: Hold): Entry {
  const { sequence, expiresAtMs, message, messageId, business, acceptedAtMs } = accepted;
  return {
    sequence,
    expiresAtMs,
    sinceMs: hold.sinceMs,
    bytes: message.length,
    about: { messageId, business, acceptedAtMs },
    hold,
    message,
    mailedAs: 0,
    mailing: false,
    over: false,
    attempts: 0,
    steps: [{ step: "accepted", at: acceptedAtMs }],
  };
}

export function mailedEntry(place: MailPlace, nowMs: number): Entry {
  return {
    ...place,
    sinceMs: nowMs,
    about: undefined,
    hold: undefined,
    message: undefined,
    mailing: false,
    over: false,
    attempts: 0,
    steps: [],
  };
}

const STEPS_KEPT = 16;

/** A message that is tried for days keeps its first steps and its latest. */
export function addStep(entry: Entry, step: ReceiptStep): void {
  if (entry.steps.length >= STEPS_KEPT) entry.steps.splice(STEPS_KEPT / 2, 1);
  entry.steps.push(step);
}
