import type { ReceiptStep } from "../../../streams/records.ts";
import type { Due } from "./due-queue.ts";
import { type Entry, mailedEntry } from "./entry.ts";
import type { Hold } from "./holds.ts";
import { MailIndex } from "./mail-index.ts";

/** Where a device is connected. */
export interface Connection {
  readonly id: string;
  /** The incarnation of its access node. */
  readonly node: string;
  readonly counter: number;
}

/** The times, in ms after the oldest message was sent, at which it is sent again: 2, 5, 15, 30, 45, ... s. */
const FIRST_RETRIES_MS = [2_000, 5_000];
const RETRY_EVERY_MS = 15_000;

/** When a message that was sent at 0 and `attempt` times again is due once more. */
export function retryAfterMs(attempt: number): number {
  return FIRST_RETRIES_MS[attempt] ?? RETRY_EVERY_MS * (attempt - FIRST_RETRIES_MS.length + 1);
}

/** Mail that was acknowledged without having been read by this owner: its receipts are still to be written. */
export interface AckedUnread {
  readonly places: readonly number[];
  readonly step: ReceiptStep;
}

/** What is to be deleted from the mailbox, and what is written down before. */
export interface Purge {
  /** By sequence in the mail stream. */
  readonly places: readonly number[];
  /** Everything up to here is handled; 0: that is written down already. */
  readonly handled: number;
  readonly acked: readonly AckedUnread[];
}

/**
 * The must-arrive messages of one device, in the order of their delivery sequences: `entries` in
 * memory, `mail` only in the mailbox. What is older comes first, wherever it is.
 */
export class Inbox implements Due {
  readonly app: string;
  readonly device: string;
  readonly entries: Entry[] = [];
  readonly mail = new MailIndex();
  queuedAtMs = Number.POSITIVE_INFINITY;

  connection: Connection | undefined;
  offlineSinceMs = 0;
  /** How many of the entries, from the oldest, were sent on this connection, and their bytes. */
  sent = 0;
  sentBytes = 0;
  /** How often this connection was sent the oldest entry again. */
  attempt = 0;
  /** How often this connection was sent things again early, and when it is again. */
  earlyRetries = 0;
  earlyRetryAtMs = Number.POSITIVE_INFINITY;
  /** Since when the oldest sent entry waits to be acknowledged. */
  waitingSinceMs = 0;

  /** Puts into the mailbox in flight, those of entries that are gone included. */
  mailing = 0;
  /** Entries below this place are in the mailbox or on their way. */
  mailFrom = 0;
  loading = false;
  /** Mail of entries that are gone, still to be deleted; by its sequence in the mail stream. */
  doneMail: number[] = [];
  ackedUnread: AckedUnread[] = [];
  /** What is being deleted; undefined when nothing is. */
  purging: Purge | undefined;
  /** Up to where the device has handled what is or may be in the mailbox, and what of it is written down. */
  handled = 0;
  handledStored = 0;
  /** An earlier owner's word of it has been read, or there was none to read. */
  handledKnown = true;
  /** The oldest record that acknowledges mail which is not deleted, and the first since the present purge began. */
  purgeHold: Hold | undefined;
  nextPurgeHold: Hold | undefined;
  /** After a failure of the mailbox: ask it nothing until then. */
  pausedUntilMs = 0;
  /** At or before the first expiry of an entry. */
  #nextExpiryMs = Number.POSITIVE_INFINITY;
  /** Marked as taking no more. */
  full = false;

  constructor(app: string, device: string) {
    this.app = app;
    this.device = device;
  }

  /** Messages in memory and in the mailbox. */
  get size(): number {
    return this.entries.length + this.mail.size;
  }

  get nextExpiryMs(): number {
    return Math.min(this.#nextExpiryMs, this.mail.nextExpiryMs);
  }

  /** True if mail of entries that are gone is left in the mailbox, or will be. */
  get hasDoneMail(): boolean {
    return (
      this.doneMail.length > 0 ||
      this.purging !== undefined ||
      this.purgeHold !== undefined ||
      this.handled > this.handledStored
    );
  }

  /** True if nothing is left to do or to remember. */
  get idle(): boolean {
    return this.size === 0 && this.mailing === 0 && !this.hasDoneMail && !this.full;
  }

  has(sequence: number): boolean {
    return this.entries[this.#placeOf(sequence)]?.sequence === sequence || this.mail.has(sequence);
  }

  /** Puts an entry where its sequence belongs, which is behind what was sent. */
  insert(entry: Entry): void {
    const place = this.#placeOf(entry.sequence);
    if (place === this.entries.length) this.entries.push(entry);
    else this.entries.splice(place, 0, entry);
    this.mailFrom = Math.min(this.mailFrom, place);
    this.#nextExpiryMs = Math.min(this.#nextExpiryMs, entry.expiresAtMs);
  }

  /** Sees to it that the oldest `count` messages are entries. */
  takeOutOfMail(count: number, nowMs: number): void {
    const { entries, mail } = this;
    for (;;) {
      const limit = entries[count - 1]?.sequence ?? Number.POSITIVE_INFINITY;
      if (mail.firstSequence >= limit) return;
      const place = mail.takeFirst();
      if (place === undefined) return;
      this.insert(mailedEntry(place, nowMs));
    }
  }

  /** What is in the mailbox and has not been sent needs no entry; the entries that it had. */
  putBackIntoMail(): Entry[] {
    const back: Entry[] = [];
    const sent = this.entries.slice(0, this.sent);
    const kept = this.entries.slice(this.sent).filter((entry) => {
      if (entry.mailedAs === 0) return true;
      back.push(entry);
      return false;
    });
    if (back.length === 0) return back;
    this.entries.splice(0, this.entries.length, ...sent, ...kept);
    this.mailFrom = 0;
    for (const entry of back) {
      entry.over = true;
      entry.message = undefined;
      this.mail.add(entry);
    }
    return back;
  }

  /** Takes out everything up to and including a sequence, but for what is only in the mailbox. */
  removeThrough(sequence: number): Entry[] {
    const place = this.#placeOf(sequence + 1);
    const removed = this.entries.splice(0, place);
    for (const { bytes } of removed.slice(0, this.sent)) this.sentBytes -= bytes;
    this.sent = Math.max(0, this.sent - removed.length);
    this.mailFrom = Math.max(0, this.mailFrom - removed.length);
    return removed;
  }

  /** Takes out the entries for which `unwanted` holds. */
  removeWhere(unwanted: (entry: Entry) => boolean): Entry[] {
    const removed: Entry[] = [];
    let kept = 0;
    let sent = this.sent;
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const [place, entry] of this.entries.entries()) {
      if (unwanted(entry)) {
        removed.push(entry);
        if (place < this.sent) {
          sent -= 1;
          this.sentBytes -= entry.bytes;
        }
      } else {
        this.entries[kept] = entry;
        kept += 1;
        this.#nextExpiryMs = Math.min(this.#nextExpiryMs, entry.expiresAtMs);
      }
    }
    this.entries.length = kept;
    this.sent = sent;
    this.mailFrom = 0;
    return removed;
  }

  /** The entry is in the mailbox now: unless it was sent, that is enough. */
  mailed(entry: Entry): void {
    const place = this.#placeOf(entry.sequence);
    if (place < this.sent || this.entries[place] !== entry) return;
    this.entries.splice(place, 1);
    if (place < this.mailFrom) this.mailFrom -= 1;
    entry.over = true;
    this.mail.add(entry);
  }

  /** Counts the next entry as sent. */
  countSent({ bytes }: Entry): void {
    this.sent += 1;
    this.sentBytes += bytes;
  }

  /** Begins again with the oldest. */
  sendAgain(): void {
    this.sent = 0;
    this.sentBytes = 0;
  }

  /** The oldest entry that is neither in the mailbox nor on its way there. */
  nextToMail(): Entry | undefined {
    let entry = this.entries[this.mailFrom];
    while (entry !== undefined && (entry.mailing || entry.mailedAs > 0)) {
      this.mailFrom += 1;
      entry = this.entries[this.mailFrom];
    }
    return entry;
  }

  /** The place of the first entry with this sequence or a later one. */
  #placeOf(sequence: number): number {
    const { entries } = this;
    const last = entries.at(-1);
    if (last === undefined || last.sequence < sequence) return entries.length;
    let low = 0;
    let high = entries.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((entries[middle]?.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
