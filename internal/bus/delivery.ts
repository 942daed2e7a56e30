/** What JetStream tells of a delivered message in its reply subject. */
export interface Delivery {
  /** Its place in the stream. */
  sequence: number;
  /** The how-manieth message of its consumer it is; the first is 1. */
  consumerSequence: number;
  /** When the server stored it, Unix ms. */
  storedAtMs: number;
  /** How many more the consumer has waiting. */
  pending: number;
}

/** Behind the milliseconds; the whole is more than a number holds exactly. */
const NANOSECOND_DIGITS = 6;
const PREFIX = "$JS.ACK.";
/** `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer sequence>.<time>.<pending>` */
const SHORT_TOKENS = 9;
/** With `<domain>.<account>` before the stream; a random token may follow at the end. */
const LONG_TOKENS = 11;

/** undefined for anything but the reply subject of a delivered message. */
export function parseDelivery(reply: string | undefined): Delivery | undefined {
  if (!reply?.startsWith(PREFIX)) return undefined;
  const tokens = reply.split(".");
  if (tokens.length !== SHORT_TOKENS && tokens.length < LONG_TOKENS) return undefined;
  const stream = tokens.length === SHORT_TOKENS ? 2 : 4;
  return {
    sequence: Number(tokens[stream + 3]),
    consumerSequence: Number(tokens[stream + 4]),
    storedAtMs: Number(tokens[stream + 5]?.slice(0, -NANOSECOND_DIGITS)),
    pending: Number(tokens[stream + 6]),
  };
}
