import type { ReceiptStep } from "../../../streams/records.ts";
import type { Entry } from "./entry.ts";
import type { Inbox } from "./inbox.ts";
import type { DeliveryState } from "./state.ts";

/** One acknowledgement as the log has it: an Ack, or what a device says at its login. */
export interface DeviceAck {
  /** The log sequence of its record. */
  recordSequence: number;
  /** Unix ms, by the node's clock: when the record was made. */
  atMs: number;
  deliverySequence: number;
  node: string;
  connection: string;
}

/**
 * Everything up to the acknowledged delivery is done with. Whether the client was sent it, its node
 * has checked before it wrote to the log: only the node knows what a former owner had sent.
 */
export function acknowledge(
  state: DeliveryState,
  inbox: Inbox,
  ack: DeviceAck,
  nowMs: number,
): void {
  const { deliverySequence } = ack;
  // What a former owner let expire is read again with its record, and a later message's
  // acknowledgement covers it without its ever having been sent.
  expire(state, inbox, Math.min(ack.atMs, nowMs));
  const entries = inbox.removeThrough(deliverySequence);
  const unread = inbox.mail.takeThrough(deliverySequence);
  if (entries.length === 0 && unread.length === 0) {
    state.counters.repeatedAcks += 1;
    return;
  }
  const { node, connection } = ack;
  const step: ReceiptStep = { step: "acked", at: nowMs, node, connection };
  const tell = ack.recordSequence > state.toldUpTo;
  let mayBeMailed = unread.length > 0;
  for (const entry of entries) {
    if (entry.mailedAs > 0) inbox.doneMail.push(entry.mailedAs);
    mayBeMailed ||= entry.mailedAs > 0 || entry.mailing || entry.sequence <= state.inheritedUpTo;
    entry.over = true;
    state.release(entry);
    if (tell) state.receipt(inbox, entry, { ...step });
  }
  state.counters.delivered += entries.length + unread.length;
  inbox.doneMail.push(...unread);
  if (tell && unread.length > 0) inbox.ackedUnread.push({ places: unread, step });
  if (mayBeMailed) {
    inbox.handled = Math.max(inbox.handled, deliverySequence);
    holdUntilPurged(state, inbox, ack, nowMs);
  }
  inbox.attempt = 0;
  inbox.earlyRetries = 0;
  inbox.waitingSinceMs = nowMs;
}

/**
 * An owner before this one has written down that the device had handled this, and what is in the mailbox
 * of it was stored later: by an owner before that one, whose writes took their time.
 */
export function dropHandled(state: DeliveryState, inbox: Inbox, handled: number): void {
  inbox.handled = Math.max(inbox.handled, handled);
  inbox.handledStored = Math.max(inbox.handledStored, handled);
  for (const entry of inbox.removeThrough(handled)) {
    if (entry.mailedAs > 0) inbox.doneMail.push(entry.mailedAs);
    entry.over = true;
    state.release(entry);
    state.counters.repeatedMail += 1;
  }
  const unread = inbox.mail.takeThrough(handled);
  inbox.doneMail.push(...unread);
  state.counters.repeatedMail += unread.length;
}

/**
 * The record of the acknowledgement is needed as long as the mailbox still shows the message, or may
 * show it again because a former owner's write comes late and nothing says that it is handled.
 */
function holdUntilPurged(
  state: DeliveryState,
  inbox: Inbox,
  { recordSequence }: DeviceAck,
  nowMs: number,
): void {
  const held = inbox.purging === undefined ? inbox.purgeHold : inbox.nextPurgeHold;
  if (held !== undefined) return;
  const hold = { sequence: recordSequence, sinceMs: nowMs, released: false };
  state.holds.add(hold);
  if (inbox.purging === undefined) inbox.purgeHold = hold;
  else inbox.nextPurgeHold = hold;
}

/** Drops what nobody has acknowledged in time. Its mail, if any, the server deletes by itself. */
export function expire(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  if (inbox.nextExpiryMs > nowMs) return;
  for (const entry of inbox.removeWhere(({ expiresAtMs }) => expiresAtMs <= nowMs)) {
    expired(state, inbox, entry, undefined, nowMs);
  }
  // Whoever asks for these sees by their receipt when their time was over.
  state.counters.expired += inbox.mail.dropExpired(nowMs);
}

/** Drops an entry whose mail is not in the mailbox. */
export function dropGone(state: DeliveryState, inbox: Inbox, entry: Entry, nowMs: number): void {
  drop(state, inbox, entry, "no longer in the mailbox", nowMs);
}

/** Drops an entry that can be neither delivered nor kept, and says so to its sender. */
export function drop(
  state: DeliveryState,
  inbox: Inbox,
  entry: Entry,
  reason: string,
  nowMs: number,
): void {
  inbox.removeWhere((other) => other === entry);
  expired(state, inbox, entry, reason, nowMs);
}

function expired(
  state: DeliveryState,
  inbox: Inbox,
  entry: Entry,
  reason: string | undefined,
  nowMs: number,
): void {
  entry.over = true;
  state.release(entry);
  state.counters.expired += 1;
  state.receipt(
    inbox,
    entry,
    reason === undefined ? { step: "expired", at: nowMs } : { step: "expired", at: nowMs, reason },
  );
}
