/** Messages of the stream behind a bucket as entries of the bucket. */
import type { Msg, MsgHdrs } from "@nats-io/transport-node";
import { HoldfastError } from "../status/errors.ts";
import type { Entry } from "./contract.ts";
import { parseDelivery } from "./delivery.ts";
import { bucketStream } from "./stream-config.ts";

/** The header that makes a message a deletion, and its value. */
export const OPERATION_HEADER = "KV-Operation";
export const DELETION = "DEL";

/** Where the entries of one bucket are. */
export class BucketPlace {
  readonly stream: string;
  readonly #prefix: string;

  constructor(bucket: string) {
    this.stream = bucketStream(bucket);
    this.#prefix = `$KV.${bucket}.`;
  }

  /** The subject of a key, or of a filter of keys. */
  subject(key: string): string {
    return this.#prefix + key;
  }

  key(subject: string): string {
    return subject.slice(this.#prefix.length);
  }

  /** From an answer to a direct get, which has subject and sequence in its headers. */
  ofDirect(message: Msg): Entry {
    const { headers } = message;
    const subject = headers?.get("Nats-Subject");
    if (!headers || !subject) {
      throw new HoldfastError("internal", `an answer of ${this.stream} does not tell its subject`);
    }
    return this.of(subject, Number(headers.get("Nats-Sequence")), message.data, headers);
  }

  /** From a message that a consumer delivered. */
  ofDelivered(message: Msg): Entry {
    const sequence = parseDelivery(message.reply)?.sequence ?? 0;
    return this.of(message.subject, sequence, message.data, message.headers);
  }

  of(subject: string, revision: number, data: Uint8Array, headers: MsgHdrs | undefined): Entry {
    const value = isDeletion(headers)
      ? undefined
      : // A copy: entries are kept, and the original is a part of all that the socket read at once.
        Uint8Array.from(data);
    return { key: this.key(subject), value, revision };
  }
}

function isDeletion(headers: MsgHdrs | undefined): boolean {
  if (headers === undefined) return false;
  // The server itself marks keys it has let expire.
  return headers.has(OPERATION_HEADER) || headers.has("Nats-Marker-Reason");
}
