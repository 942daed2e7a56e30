import type { Entry } from "./entry.ts";
import type { Inbox } from "./inbox.ts";
import { MAILBOX_PAUSE_MS } from "./sending.ts";
import { drop } from "./settling.ts";
import type { DeliveryState } from "./state.ts";

/** A device that is away for less is sent its messages from memory when it is back. */
const MAIL_OFFLINE_AFTER_MS = 2_000;
/** A connected device that does not acknowledge for longer does not keep messages in the log. */
const MAIL_ONLINE_AFTER_MS = 60_000;
/** How long the mailbox is asked again and again to take a message that it refuses. */
const REFUSED_FOR_MS = 60 * 60 * 1_000;

/** When an entry goes to the mailbox. */
export function mailAtMs(inbox: Inbox, { sinceMs }: Entry): number {
  return inbox.connection === undefined
    ? Math.max(inbox.offlineSinceMs, sinceMs) + MAIL_OFFLINE_AFTER_MS
    : sinceMs + MAIL_ONLINE_AFTER_MS;
}

/**
 * Moves what has waited too long to the mailbox, oldest first. Not while mail is to be deleted: a
 * deletion waits for the puts in flight, and so would never begin.
 */
export function mail(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  if (!state.live || inbox.hasDoneMail || nowMs < inbox.pausedUntilMs) return;
  for (let entry = inbox.nextToMail(); entry !== undefined; entry = inbox.nextToMail()) {
    const { about, message } = entry;
    if (about === undefined || message === undefined || mailAtMs(inbox, entry) > nowMs) return;
    if (!state.puts.take(inbox)) return;
    entry.mailing = true;
    inbox.mailing += 1;
    state.effects.push({ kind: "mail", inbox, entry, about, message });
  }
}

export function mailed(
  state: DeliveryState,
  inbox: Inbox,
  entry: Entry,
  mailedAs: number,
  nowMs: number,
): void {
  answered(state, inbox, entry);
  if (entry.over) {
    // Acknowledged or expired meanwhile.
    inbox.doneMail.push(mailedAs);
    return;
  }
  entry.mailedAs = mailedAs;
  state.release(entry);
  state.counters.mailed += 1;
  state.receipt(inbox, entry, { step: "mailed", at: nowMs });
  inbox.mailed(entry);
}

/** The mailbox is full, or JetStream is. The message stays in memory and in the log, and is tried again. */
export function notMailed(
  state: DeliveryState,
  inbox: Inbox,
  entry: Entry,
  reason: string,
  nowMs: number,
): void {
  answered(state, inbox, entry);
  state.counters.mailFailures += 1;
  if (entry.over) return;
  inbox.mailFrom = 0;
  inbox.pausedUntilMs = nowMs + MAILBOX_PAUSE_MS;
  if (nowMs - entry.sinceMs >= REFUSED_FOR_MS) drop(state, inbox, entry, reason, nowMs);
}

function answered(state: DeliveryState, inbox: Inbox, entry: Entry): void {
  entry.mailing = false;
  inbox.mailing -= 1;
  state.puts.release();
}

/**
 * Deletes the mail of entries that are gone, once no put of the device is in flight, and writes down
 * first that it is handled: a former owner's put may still come, and must not be taken for new.
 */
export function purge(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  if (!state.live || inbox.purging !== undefined || inbox.mailing > 0) return;
  const handled = inbox.handled > inbox.handledStored ? inbox.handled : 0;
  if (inbox.doneMail.length === 0 && handled === 0) {
    endPurge(inbox);
    return;
  }
  if (nowMs < inbox.pausedUntilMs || !state.purges.take(inbox)) return;
  const { doneMail: places, ackedUnread: acked } = inbox;
  inbox.purging = { places, handled, acked };
  inbox.doneMail = [];
  inbox.ackedUnread = [];
  state.effects.push({ kind: "purge", inbox, purge: inbox.purging });
}

export function purged(state: DeliveryState, inbox: Inbox): void {
  state.purges.release();
  inbox.handledStored = Math.max(inbox.handledStored, inbox.purging?.handled ?? 0);
  inbox.purging = undefined;
  endPurge(inbox);
}

export function notPurged(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  state.purges.release();
  inbox.doneMail.push(...(inbox.purging?.places ?? []));
  inbox.ackedUnread.unshift(...(inbox.purging?.acked ?? []));
  inbox.purging = undefined;
  inbox.pausedUntilMs = nowMs + MAILBOX_PAUSE_MS;
  // The older hold covers what the newer one was for.
  if (inbox.nextPurgeHold !== undefined) inbox.nextPurgeHold.released = true;
  inbox.nextPurgeHold = undefined;
}

function endPurge(inbox: Inbox): void {
  if (inbox.purgeHold !== undefined) inbox.purgeHold.released = true;
  inbox.purgeHold = inbox.nextPurgeHold;
  inbox.nextPurgeHold = undefined;
}
