import type { ReceiptStep } from "../../../streams/records.ts";
import { DueQueue } from "./due-queue.ts";
import type { DeliveryEffect } from "./effects.ts";
import type { Entry } from "./entry.ts";
import { type Hold, Holds } from "./holds.ts";
import type { Connection, Inbox } from "./inbox.ts";
import { Slots } from "./slots.ts";

export interface DeliveryLimits {
  /** Sent and unacknowledged, per device: messages, and bytes of them unless it is one. */
  window: number;
  windowBytes: number;
  /** Messages waiting for one device; above this the push API refuses more. */
  mailbox: number;
  /** Operations on the mailbox at once, of the whole partition. */
  puts: number;
  loads: number;
  purges: number;
}

export const DELIVERY_LIMITS: DeliveryLimits = {
  window: 64,
  // A quarter of what may wait for a client before its connection is closed as too slow.
  windowBytes: 256 * 1_024,
  mailbox: 10_000,
  puts: 512,
  loads: 16,
  purges: 16,
};

export interface DeliveryCounters {
  accepted: number;
  /** Acknowledged. */
  delivered: number;
  sent: number;
  /** Sendings of what had been sent before. */
  retried: number;
  /** Moved to the mailbox. */
  mailed: number;
  /** The mailbox did not take it, or could not be asked. */
  mailFailures: number;
  expired: number;
  /** Acknowledgements of what was acknowledged before. */
  repeatedAcks: number;
  /** Mail of a former owner, stored after it was handled, and not delivered again. */
  repeatedMail: number;
}

export function newDeliveryCounters(): DeliveryCounters {
  return {
    accepted: 0,
    delivered: 0,
    sent: 0,
    retried: 0,
    mailed: 0,
    mailFailures: 0,
    expired: 0,
    repeatedAcks: 0,
    repeatedMail: 0,
  };
}

/** Where a device is connected now, undefined while it is offline. */
export type ConnectionOf = (app: string, device: string) => Connection | undefined;

/** All that the delivery fold knows of one partition. */
export class DeliveryState {
  readonly limits: DeliveryLimits;
  readonly connectionOf: ConnectionOf;
  /** The devices with messages, or with mail still to be deleted. */
  readonly inboxes = new Map<string, Inbox>();
  readonly due = new DueQueue<Inbox>();
  readonly holds = new Holds<Hold>();
  readonly puts: Slots<Inbox>;
  readonly loads: Slots<Inbox>;
  readonly purges: Slots<Inbox>;
  readonly counters: DeliveryCounters;
  effects: DeliveryEffect[] = [];
  /** What was acknowledged up to this log sequence has its receipts already. */
  toldUpTo = 0;
  /** Deliveries up to here were read before this owner was live, so an earlier one may have mailed them. */
  inheritedUpTo = 0;
  /** The log was read to its end: what follows from it may be done. */
  live = false;

  constructor(connectionOf: ConnectionOf, limits: DeliveryLimits, counters: DeliveryCounters) {
    this.connectionOf = connectionOf;
    this.counters = counters;
    this.limits = limits;
    this.puts = new Slots(limits.puts);
    this.loads = new Slots(limits.loads);
    this.purges = new Slots(limits.purges);
  }

  /** Writes down what became of a message since its last receipt. */
  receipt(inbox: Inbox, entry: Entry, step?: ReceiptStep): void {
    const { app, device } = inbox;
    const { about, sequence, expiresAtMs, steps } = entry;
    if (step !== undefined) steps.push(step);
    if (about === undefined || steps.length === 0) return;
    const { messageId, business } = about;
    const receipt = { app, device, messageId, business, sequence, expiresAtMs, steps };
    this.effects.push({ kind: "receipt", receipt });
    entry.steps = [];
  }

  /** The log no longer needs to keep the record of this entry. */
  release(entry: Entry): void {
    if (entry.hold !== undefined) entry.hold.released = true;
    entry.hold = undefined;
    entry.message = undefined;
  }
}
