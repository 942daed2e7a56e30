/**
 * Must-arrive messages of one partition: what was accepted, in the order of the log, is sent to the
 * device until the device acknowledges it, waits in the mailbox while the device is away, and ends
 * acknowledged or expired.
 *
 * Pure: records, connections, time and the outcomes of its own effects come in, effects go out.
 * Nothing of it is stored. What is neither acknowledged nor in the mailbox holds the checkpoint back,
 * so a new owner finds it by reading the log again, and what is in the mailbox it finds there.
 */
import type { Accepted, Acked } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import type { ReceiptStep } from "../../../streams/records.ts";
import type { MailHeader } from "../../bus/contract.ts";
import { groupKey } from "../fold/group-index.ts";
import type { DeliveryEffect, Loaded } from "./effects.ts";
import { acceptedEntry, addStep, type Entry } from "./entry.ts";
import { type Connection, Inbox } from "./inbox.ts";
import { mail, mailAtMs, mailed, notMailed, notPurged, purge, purged } from "./mailing.ts";
import { connect, loaded, notLoaded, notWritten, retry, retryAtMs, send } from "./sending.ts";
import { acknowledge, type DeviceAck, expire } from "./settling.ts";
import type { Slots } from "./slots.ts";
import {
  type ConnectionOf,
  DELIVERY_LIMITS,
  type DeliveryCounters,
  type DeliveryLimits,
  DeliveryState,
  newDeliveryCounters,
} from "./state.ts";

/** Below this part of its bound, a full mailbox takes messages again. */
const REOPEN_BELOW = 0.9;

export class DeliveryFold {
  readonly #state: DeliveryState;

  /** `counters` may be shared by the folds of several partitions. */
  constructor(
    connectionOf: ConnectionOf,
    limits: Partial<DeliveryLimits> = {},
    counters: DeliveryCounters = newDeliveryCounters(),
  ) {
    this.#state = new DeliveryState(connectionOf, { ...DELIVERY_LIMITS, ...limits }, counters);
  }

  get counters(): Readonly<DeliveryCounters> {
    return this.#state.counters;
  }

  /** Devices with messages that are not acknowledged. */
  get devices(): number {
    return this.#state.inboxes.size;
  }

  /** Where to read the log from again: below everything that is still needed of it. */
  checkpoint(position: number): number {
    const oldest = this.#state.holds.oldest;
    return oldest === undefined ? position : Math.min(position, oldest.sequence - 1);
  }

  /** How long the oldest message that is not in the mailbox has waited, in ms. */
  oldestAgeMs(nowMs: number): number {
    const oldest = this.#state.holds.oldest;
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest.sinceMs);
  }

  get hasEffects(): boolean {
    return this.#state.effects.length > 0;
  }

  /** What is to be done, in order. Each effect is given out once. */
  takeEffects(): DeliveryEffect[] {
    const { effects } = this.#state;
    if (effects.length > 0) this.#state.effects = [];
    return effects;
  }

  // What is found stored, before the log is read.

  /** An earlier owner has read the log up to here, and has told of what it did by then. */
  readBefore(sequence: number): void {
    this.#state.toldUpTo = sequence;
  }

  /** A message that is in the mailbox. */
  mailFound(header: MailHeader, nowMs: number): void {
    const inbox = this.#inbox(header.app, header.device, nowMs);
    // An owner that has stopped may have stored it after another one had: one copy is enough.
    if (inbox.has(header.sequence)) inbox.doneMail.push(header.mailedAs);
    else inbox.mail.add(header);
    inbox.handledKnown = false;
  }

  /** A mailbox that was marked as full. */
  markFound(app: string, device: string, nowMs: number): void {
    this.#inbox(app, device, nowMs).full = true;
  }

  // What the log says.

  /** `recordSequence`: its log sequence, `sequence` its delivery sequence. */
  accepted(
    recordSequence: number,
    accepted: Accepted,
    { sequence, atMs, nowMs }: { sequence: number; atMs: number; nowMs: number },
  ): void {
    const { app, device, messageId, business } = accepted;
    const state = this.#state;
    const inbox = this.#inbox(app, device, nowMs);
    if (!state.live) state.inheritedUpTo = Math.max(state.inheritedUpTo, sequence);
    // In the mailbox already: an earlier owner put it there.
    if (inbox.has(sequence)) return;
    const expiresAtMs = Number(accepted.expiresAtMs);
    // A copy: the record's bytes are part of the block that was read from the socket.
    const message = accepted.message.slice();
    const hold = { sequence: recordSequence, sinceMs: nowMs, released: false };
    const entry = acceptedEntry(
      { sequence, messageId, business, acceptedAtMs: atMs, expiresAtMs, message },
      hold,
    );
    inbox.insert(entry);
    state.holds.add(hold);
    state.counters.accepted += 1;
    if (state.live) this.#attend(inbox, nowMs);
  }

  acked(sequence: number, { incarnation, acks }: Acked, atMs: number, nowMs: number): void {
    const state = this.#state;
    for (const { app, device, deliverySequence, connection } of acks) {
      const inbox = state.inboxes.get(groupKey(app, device));
      if (inbox === undefined) {
        state.counters.repeatedAcks += 1;
        continue;
      }
      const ack = {
        recordSequence: sequence,
        atMs,
        deliverySequence: Number(deliverySequence),
        node: incarnation,
        connection: connectionId(incarnation, Number(connection)),
      };
      acknowledge(state, inbox, ack, nowMs);
      this.#attend(inbox, nowMs);
    }
  }

  /**
   * A device that has logged in says up to where it has handled deliveries: an acknowledgement, however
   * its earlier connections ended.
   */
  claimed(app: string, device: string, ack: DeviceAck, nowMs: number): void {
    const inbox = this.#state.inboxes.get(groupKey(app, device));
    if (inbox === undefined) return;
    acknowledge(this.#state, inbox, ack, nowMs);
    this.#attend(inbox, nowMs);
  }

  /** The device may have another connection than before, or none. */
  moved(app: string, device: string, nowMs: number): void {
    const inbox = this.#state.inboxes.get(groupKey(app, device));
    if (inbox === undefined) return;
    const connection = this.#state.connectionOf(app, device);
    if (connection?.id === inbox.connection?.id) return;
    connect(this.#state, inbox, connection, nowMs);
    if (this.#state.live) this.#attend(inbox, nowMs);
  }

  /** The log was read to its end. */
  goLive(nowMs: number): void {
    this.#state.live = true;
    for (const inbox of this.#state.inboxes.values()) this.#attend(inbox, nowMs);
  }

  // Time, and what came of the effects.

  tick(nowMs: number): void {
    const { live, due } = this.#state;
    if (!live) return;
    for (let inbox = due.take(nowMs); inbox !== undefined; inbox = due.take(nowMs)) {
      this.#attend(inbox, nowMs);
    }
  }

  /** The node has put it into the connection's queue. */
  written(inbox: Inbox, entry: Entry, { node, id }: Connection, atMs: number): void {
    const { attempts: attempt } = entry;
    const step: ReceiptStep = { step: "written", at: atMs, node, connection: id, attempt };
    // The client's acknowledgement may be faster than the node's answer.
    if (entry.over) this.#state.receipt(inbox, entry, step);
    else addStep(entry, step);
  }

  /** The node has not. */
  notWritten(inbox: Inbox, connection: Connection, nowMs: number): void {
    notWritten(inbox, connection, nowMs);
    this.#attend(inbox, nowMs);
  }

  mailed(inbox: Inbox, entry: Entry, mailedAs: number, nowMs: number): void {
    mailed(this.#state, inbox, entry, mailedAs, nowMs);
    this.#goOn(inbox, this.#state.puts, nowMs);
  }

  notMailed(inbox: Inbox, entry: Entry, reason: string, nowMs: number): void {
    notMailed(this.#state, inbox, entry, reason, nowMs);
    this.#goOn(inbox, this.#state.puts, nowMs);
  }

  loaded(inbox: Inbox, entries: readonly Entry[], found: Loaded, nowMs: number): void {
    loaded(this.#state, inbox, entries, found, nowMs);
    this.#goOn(inbox, this.#state.loads, nowMs);
  }

  notLoaded(inbox: Inbox, nowMs: number): void {
    notLoaded(this.#state, inbox, nowMs);
    this.#goOn(inbox, this.#state.loads, nowMs);
  }

  purged(inbox: Inbox, nowMs: number): void {
    purged(this.#state, inbox);
    this.#goOn(inbox, this.#state.purges, nowMs);
  }

  notPurged(inbox: Inbox, nowMs: number): void {
    notPurged(this.#state, inbox, nowMs);
    this.#goOn(inbox, this.#state.purges, nowMs);
  }

  /** An operation has ended: its device goes on, and so does whoever waited for room. */
  #goOn(inbox: Inbox, slots: Slots<Inbox>, nowMs: number): void {
    this.#attend(inbox, nowMs);
    for (let next = slots.next(); next !== undefined; next = slots.next()) {
      this.#attend(next, nowMs);
    }
  }

  /** Does for a device whatever is to be done now, and notes when to look at it again. */
  #attend(inbox: Inbox, nowMs: number): void {
    const state = this.#state;
    if (!state.live) return;
    expire(state, inbox, nowMs);
    retry(inbox, nowMs);
    send(state, inbox, nowMs);
    if (inbox.hasDoneMail) purge(state, inbox, nowMs);
    mail(state, inbox, nowMs);
    this.#mark(inbox);
    if (inbox.idle) this.#forget(inbox);
    else state.due.schedule(inbox, Math.max(nextDueMs(inbox, nowMs), nowMs + 1));
  }

  #mark(inbox: Inbox): void {
    const { app, device, size } = inbox;
    const { mailbox } = this.#state.limits;
    const full = size >= (inbox.full ? mailbox * REOPEN_BELOW : mailbox);
    if (full === inbox.full) return;
    inbox.full = full;
    this.#state.effects.push({ kind: "mark", app, device, full });
  }

  #inbox(app: string, device: string, nowMs: number): Inbox {
    const { inboxes, connectionOf } = this.#state;
    const key = groupKey(app, device);
    let inbox = inboxes.get(key);
    if (inbox === undefined) {
      inbox = new Inbox(app, device);
      inbox.connection = connectionOf(app, device);
      inbox.offlineSinceMs = nowMs;
      inboxes.set(key, inbox);
    }
    return inbox;
  }

  #forget(inbox: Inbox): void {
    const { inboxes, puts, loads, purges } = this.#state;
    const key = groupKey(inbox.app, inbox.device);
    if (inboxes.get(key) === inbox) inboxes.delete(key);
    puts.forget(inbox);
    loads.forget(inbox);
    purges.forget(inbox);
  }
}

/** When something happens to a device by the passing of time alone. */
function nextDueMs(inbox: Inbox, nowMs: number): number {
  let due = Math.min(inbox.nextExpiryMs, retryAtMs(inbox));
  if (inbox.pausedUntilMs > nowMs) due = Math.min(due, inbox.pausedUntilMs);
  const next = inbox.nextToMail();
  if (next !== undefined) {
    const mailAt = mailAtMs(inbox, next);
    // What is due already waits for room, for the pause or for a deletion to end.
    if (mailAt > nowMs) due = Math.min(due, mailAt);
  }
  return due;
}
