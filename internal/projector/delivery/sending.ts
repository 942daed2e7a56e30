import type { Loaded } from "./effects.ts";
import { addStep, type Entry } from "./entry.ts";
import { deliveryFrame } from "./frame.ts";
import type { Connection, Inbox } from "./inbox.ts";
import { retryAfterMs } from "./inbox.ts";
import { dropGone, dropHandled, expire } from "./settling.ts";
import type { DeliveryState } from "./state.ts";

/** How often, and how soon, what a node did not write is sent again before the usual time. */
const EARLY_RETRIES = 4;
const EARLY_RETRY_MS = 50;
/** A device that has acknowledged nothing for so many sendings is only sent the oldest message. */
const STALLED_AFTER = 5;
/** How long the mailbox is left alone after it failed. */
export const MAILBOX_PAUSE_MS = 1_000;

/** The device is connected anew, or not any more. Everything unacknowledged is sent again. */
export function connect(
  state: DeliveryState,
  inbox: Inbox,
  connection: Connection | undefined,
  nowMs: number,
): void {
  if (connection === undefined && inbox.connection !== undefined) inbox.offlineSinceMs = nowMs;
  inbox.connection = connection;
  inbox.sendAgain();
  inbox.attempt = 0;
  inbox.earlyRetries = 0;
  inbox.earlyRetryAtMs = Number.POSITIVE_INFINITY;
  if (connection === undefined) {
    for (const entry of inbox.putBackIntoMail()) state.receipt(inbox, entry);
  }
}

/** Goes back to the oldest message if that has waited long enough. */
export function retry(inbox: Inbox, nowMs: number): void {
  if (nowMs < retryAtMs(inbox)) return;
  if (nowMs >= inbox.earlyRetryAtMs) inbox.earlyRetryAtMs = Number.POSITIVE_INFINITY;
  else inbox.attempt += 1;
  inbox.sendAgain();
}

/**
 * The node did not write it: something before it was lost on the way, or the log was faster than the
 * login and the node does not serve the connection yet.
 */
export function notWritten(inbox: Inbox, connection: Connection, nowMs: number): void {
  if (inbox.connection?.id !== connection.id) return;
  if (inbox.earlyRetries >= EARLY_RETRIES || inbox.earlyRetryAtMs < Number.POSITIVE_INFINITY)
    return;
  inbox.earlyRetryAtMs = nowMs + EARLY_RETRY_MS * 2 ** inbox.earlyRetries;
  inbox.earlyRetries += 1;
}

/** When the oldest message is sent again; never while none is out. */
export function retryAtMs(inbox: Inbox): number {
  if (inbox.connection === undefined || inbox.sent === 0) return Number.POSITIVE_INFINITY;
  return Math.min(inbox.earlyRetryAtMs, inbox.waitingSinceMs + retryAfterMs(inbox.attempt));
}

/** Sends what the window has room for, oldest first, and loads what of it is only in the mailbox. */
export function send(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  const { connection, entries } = inbox;
  if (!state.live || connection === undefined) return;
  expire(state, inbox, nowMs);
  const window = inbox.attempt < STALLED_AFTER ? state.limits.window : 1;
  inbox.takeOutOfMail(window, nowMs);
  while (inbox.sent < window) {
    const entry = entries[inbox.sent];
    if (entry === undefined || !fits(state, inbox, entry)) return;
    if (entry.message === undefined) {
      load(state, inbox, window, nowMs);
      return;
    }
    if (inbox.sent === 0 && inbox.attempt === 0) inbox.waitingSinceMs = nowMs;
    const after = entries[inbox.sent - 1]?.sequence ?? 0;
    const frame = deliveryFrame(entry.message, entry.sequence);
    state.effects.push({ kind: "send", inbox, connection, entry, frame, after });
    inbox.countSent(entry);
    state.counters.sent += 1;
    if (entry.attempts > 0) state.counters.retried += 1;
    entry.attempts += 1;
    addStep(entry, {
      step: "routed",
      at: nowMs,
      node: connection.node,
      connection: connection.id,
      attempt: entry.attempts,
    });
    if (entry.mailedAs > 0) entry.message = undefined;
  }
}

/** What is sent and unacknowledged must fit into what may wait for a client; one message always may. */
function fits(state: DeliveryState, inbox: Inbox, { bytes }: Entry): boolean {
  return inbox.sent === 0 || inbox.sentBytes + bytes <= state.limits.windowBytes;
}

function load(state: DeliveryState, inbox: Inbox, window: number, nowMs: number): void {
  if (inbox.loading || nowMs < inbox.pausedUntilMs) return;
  if (!state.loads.take(inbox)) return;
  const entries: Entry[] = [];
  let bytes = inbox.sentBytes;
  for (const entry of inbox.entries.slice(inbox.sent, window)) {
    bytes += entry.bytes;
    if (entries.length > 0 && bytes > state.limits.windowBytes) break;
    if (entry.message === undefined) entries.push(entry);
  }
  inbox.loading = true;
  state.effects.push({ kind: "load", inbox, entries, handled: !inbox.handledKnown });
}

/** What the mailbox has of these entries. */
export function loaded(
  state: DeliveryState,
  inbox: Inbox,
  entries: readonly Entry[],
  { mails, handled }: Loaded,
  nowMs: number,
): void {
  inbox.loading = false;
  state.loads.release();
  inbox.handledKnown = true;
  dropHandled(state, inbox, handled);
  for (const entry of entries) {
    if (entry.over) continue;
    const mail = mails.get(entry.sequence);
    if (mail === undefined) dropGone(state, inbox, entry, nowMs);
    else {
      const { message, messageId, business, acceptedAtMs } = mail;
      entry.about ??= { messageId, business, acceptedAtMs };
      entry.message ??= message;
    }
  }
}

export function notLoaded(state: DeliveryState, inbox: Inbox, nowMs: number): void {
  inbox.loading = false;
  inbox.pausedUntilMs = nowMs + MAILBOX_PAUSE_MS;
  state.loads.release();
}
