import type { Due } from "./due-queue.ts";
import type { Entry } from "./entry.ts";
import type { Hold } from "./holds.ts";

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

/**
 * The must-arrive messages of one device, in the order of their delivery sequences. Some are in
 * memory, some only in the mailbox; the order is one, so what is older always comes first.
 */
export class Inbox implements Due {
  readonly app: string;
  readonly device: string;
  readonly entries: Entry[] = [];
  queuedAtMs = Number.POSITIVE_INFINITY;

  connection: Connection | undefined;
  offlineSinceMs = 0;
  /** How many of the entries, from the oldest, were sent on this connection. */
  sent = 0;
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
  /** What of it is being deleted; undefined when nothing is. */
  purging: number[] | undefined;
  /** The oldest Acked record since which mail is not deleted, and the first since the present purge began. */
  purgeHold: Hold | undefined;
  nextPurgeHold: Hold | undefined;
  /** After a failure of the mailbox: ask it nothing until then. */
  pausedUntilMs = 0;
  /** At or before the first expiry of an entry. */
  nextExpiryMs = Number.POSITIVE_INFINITY;
  /** Marked as taking no more. */
  full = false;

  constructor(app: string, device: string) {
    this.app = app;
    this.device = device;
  }

  /** True if mail of entries that are gone is left in the mailbox, or will be. */
  get hasDoneMail(): boolean {
    return this.doneMail.length > 0 || this.purging !== undefined || this.purgeHold !== undefined;
  }

  /** True if nothing is left to do or to remember. */
  get idle(): boolean {
    return this.entries.length === 0 && this.mailing === 0 && !this.hasDoneMail && !this.full;
  }

  find(sequence: number): Entry | undefined {
    const entry = this.entries[this.#placeOf(sequence)];
    return entry?.sequence === sequence ? entry : undefined;
  }

  /** Puts an entry where its sequence belongs. Only a restored inbox gets one that is not the newest. */
  insert(entry: Entry): void {
    const place = this.#placeOf(entry.sequence);
    if (place === this.entries.length) this.entries.push(entry);
    else this.entries.splice(place, 0, entry);
    this.mailFrom = Math.min(this.mailFrom, place);
    this.nextExpiryMs = Math.min(this.nextExpiryMs, entry.expiresAtMs);
  }

  /** Takes out everything up to and including a sequence. */
  removeThrough(sequence: number): Entry[] {
    const place = this.#placeOf(sequence + 1);
    const removed = this.entries.splice(0, place);
    this.sent = Math.max(0, this.sent - removed.length);
    this.mailFrom = Math.max(0, this.mailFrom - removed.length);
    return removed;
  }

  /** Takes out the entries for which `unwanted` holds. */
  removeWhere(unwanted: (entry: Entry) => boolean): Entry[] {
    const removed: Entry[] = [];
    let kept = 0;
    let sent = this.sent;
    this.nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const [place, entry] of this.entries.entries()) {
      if (unwanted(entry)) {
        removed.push(entry);
        if (place < this.sent) sent -= 1;
      } else {
        this.entries[kept] = entry;
        kept += 1;
        this.nextExpiryMs = Math.min(this.nextExpiryMs, entry.expiresAtMs);
      }
    }
    this.entries.length = kept;
    this.sent = sent;
    this.mailFrom = 0;
    return removed;
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
