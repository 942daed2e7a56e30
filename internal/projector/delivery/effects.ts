import type { Receipt } from "../../../streams/records.ts";
import type { About, Entry } from "./entry.ts";
import type { Connection, Inbox, Purge } from "./inbox.ts";

/** What the fold wants done outside. Those of the mailbox are answered, each once. */
export type DeliveryEffect =
  /** Send to the device's node. `after`: the delivery before it, 0 for the oldest. */
  | {
      kind: "send";
      inbox: Inbox;
      connection: Connection;
      entry: Entry;
      frame: Uint8Array;
      after: number;
    }
  /** Store in the mailbox; answered by `mailed` or `notMailed`. */
  | { kind: "mail"; inbox: Inbox; entry: Entry; about: About; message: Uint8Array }
  /**
   * Read messages that are only in the mailbox, and with `handled` what an earlier owner wrote down of
   * the device; answered by `loaded` or `notLoaded`.
   */
  | { kind: "load"; inbox: Inbox; entries: readonly Entry[]; handled: boolean }
  /**
   * Write down what is handled, write the receipts of what was not read, and then delete mail, in this
   * order; answered by `purged` or `notPurged`.
   */
  | { kind: "purge"; inbox: Inbox; purge: Purge }
  /** Tell whoever asks what became of a message. */
  | { kind: "receipt"; receipt: Receipt }
  /** Let the push API know that the device takes no more, or takes more again. */
  | { kind: "mark"; app: string; device: string; full: boolean };

/** What was found in the mailbox. */
export interface Loaded {
  /** By delivery sequence. */
  readonly mails: ReadonlyMap<number, About & { readonly message: Uint8Array }>;
  /** Up to where the device has handled its mail, as an earlier owner wrote it down; 0: nothing is known. */
  readonly handled: number;
}
