import type { Receipt } from "../../../streams/records.ts";
import type { Entry } from "./entry.ts";
import type { Connection, Inbox } from "./inbox.ts";

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
  | { kind: "mail"; inbox: Inbox; entry: Entry; message: Uint8Array }
  /** Read messages that are only in the mailbox; answered by `loaded` or `notLoaded`. */
  | { kind: "load"; inbox: Inbox; entries: readonly Entry[] }
  /** Delete mail, named by its places in the mail stream; answered by `purged` or `notPurged`. */
  | { kind: "purge"; inbox: Inbox; places: readonly number[] }
  /** Tell whoever asks what became of a message. */
  | { kind: "receipt"; receipt: Receipt }
  /** Let the push API know that the device takes no more, or takes more again. */
  | { kind: "mark"; app: string; device: string; full: boolean };
