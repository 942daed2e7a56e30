import type { ReceiptStep } from "../../../streams/records.ts";
import type { MailHeader } from "../../bus/contract.ts";
import type { Hold } from "./holds.ts";

/**
 * A must-arrive message of one device that is neither acknowledged nor expired. Its `sequence`, that of
 * its Accepted record, is its delivery sequence. `released`: it is in the mailbox, or over.
 */
export interface Entry extends Hold {
  readonly messageId: string;
  readonly business: string;
  /** Unix ms, by the clock of the push API. */
  readonly acceptedAtMs: number;
  /** Unix ms. */
  readonly expiresAtMs: number;
  /** Encoded holdfast.wire.v1.Message; undefined while only the mailbox has it. */
  message: Uint8Array | undefined;
  /** Its sequence in the mail stream, 0 while it is not there. */
  mailedAs: number;
  /** On its way into the mailbox. */
  mailing: boolean;
  /** Acknowledged or expired. */
  over: boolean;
  /** How often it was sent. */
  attempts: number;
  /** What became of it since its last receipt. */
  steps: ReceiptStep[];
}

/** A message that was accepted just now: what the log holds of it. */
export interface NewEntry {
  sequence: number;
  messageId: string;
  business: string;
  acceptedAtMs: number;
  expiresAtMs: number;
  message: Uint8Array;
}

export function acceptedEntry(accepted: NewEntry, nowMs: number): Entry {
  const { sequence, messageId, business, acceptedAtMs, expiresAtMs, message } = accepted;
  return {
    sequence,
    released: false,
    messageId,
    business,
    acceptedAtMs,
    expiresAtMs,
    sinceMs: nowMs,
    message,
    mailedAs: 0,
    mailing: false,
    over: false,
    attempts: 0,
    steps: [{ step: "accepted", at: acceptedAtMs }],
  };
}

export function mailedEntry(header: MailHeader, nowMs: number): Entry {
  const { sequence, messageId, business, acceptedAtMs, expiresAtMs, mailedAs } = header;
  return {
    sequence,
    released: true,
    messageId,
    business,
    acceptedAtMs,
    expiresAtMs,
    sinceMs: nowMs,
    message: undefined,
    mailedAs,
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
