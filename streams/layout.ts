/**
 * Every stream and bucket with its limits. internal/bus/reconcile.ts makes NATS agree with this page.
 */
import {
  CHANNEL_IN_FILTER,
  CHANNEL_LIVE_TEMPLATE,
  logPartitionFilter,
  MAIL_FILTER,
  RECEIPT_FILTER,
  STATE_FILTER,
  UPLINK_FILTER,
} from "./subjects.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export interface LayoutOptions {
  /** How many partitions the devices are spread over. */
  partitions: number;
  /** How many streams carry the partitions. */
  logStreams: number;
  /** Copies of each stream: 1, or 3 and more in a NATS cluster. */
  replicas: number;
  /** The most one log stream may hold, in bytes. */
  logMaxBytes: number;
}

export interface StreamSpec {
  name: string;
  subjects: string[];
  maxAgeMs: number;
  /** -1: no bound. */
  maxBytes: number;
  /** -1: no bound. */
  maxMessagesPerSubject: number;
  /** Without: no bound. The oldest go. */
  maxMessages?: number;
  /** A subject that is full refuses messages, instead of dropping its oldest. */
  refuseWhenFull?: boolean;
  /** Messages may say how long they are kept. */
  messageTtl?: boolean;
  /** A second message of one Nats-Msg-Id within this time is answered as a duplicate. Without: 2 min. */
  duplicateWindowMs?: number;
  /**
   * Sequences begin so high that they go on growing when the stream is lost and made anew: whoever
   * remembers one from before is not misled.
   */
  growingSequences?: boolean;
  replicas: number;
  /** Messages stored on `from` are published again, numbered, on `to`. */
  republish?: { from: string; to: string };
}

export interface BucketSpec {
  name: BucketName;
  /** 0: kept for ever. */
  ttlMs: number;
  replicas: number;
}

export type BucketName =
  | "hf_route"
  | "hf_user"
  | "hf_room"
  | "hf_business"
  | "hf_full"
  | "hf_app"
  | "hf_key"
  | "hf_lease"
  | "hf_checkpoint"
  | "hf_meta";

/** How long an offline device stays known. */
export const ROUTE_TTL_MS = 7 * DAY;

export const ROOM_STREAM = "HF_ROOM";
/** How many messages of one room, zone or app are kept, for clients that were away for a moment. */
export const CHANNEL_MESSAGES_KEPT = 1_000;
export const UPLINK_STREAM = "HF_UPLINK";
export const STATE_STREAM = "HF_STATE";
export const MAIL_STREAM = "HF_MAIL";
export const RECEIPT_STREAM = "HF_RECEIPT";

/** The longest that a must-arrive message may wait for its device. */
export const MAX_TTL_MS = 7 * DAY;
export const DEFAULT_TTL_MS = DAY;
/** How many messages may wait for one device before the push API refuses more. */
export const MAILBOX_MESSAGES = 10_000;
/**
 * How long a message id is known as a duplicate. The server remembers each id of that time, about
 * 200 bytes: 300 MB at a constant 5,000 messages a second, 6 MB at 100.
 */
export const DUPLICATE_WINDOW_MS = 5 * MINUTE;
/** What became of a message can be asked for so long after it is over. */
export const RECEIPT_KEPT_MS = HOUR;
/** Each receipt's subject costs the server memory, about 200 bytes, so there is a bound to their number. */
const RECEIPTS_KEPT = 1_000_000;

/** The stream that carries a partition. */
export function logStream(partition: number, logStreams: number): string {
  return `HF_LOG_${partition % logStreams}`;
}

export function streams(options: LayoutOptions): StreamSpec[] {
  const { partitions, logStreams, replicas, logMaxBytes } = options;
  const logs = Array.from({ length: logStreams }, (_, s): StreamSpec => {
    const own = Array.from({ length: partitions }, (_, p) => p).filter((p) => p % logStreams === s);
    return {
      name: `HF_LOG_${s}`,
      subjects: own.map(logPartitionFilter),
      maxAgeMs: DAY,
      maxBytes: logMaxBytes,
      maxMessagesPerSubject: -1,
      duplicateWindowMs: DUPLICATE_WINDOW_MS,
      // Delivery sequences are sequences of the log, and clients remember their last for good.
      growingSequences: true,
      replicas,
    };
  });
  return [
    ...logs,
    {
      name: ROOM_STREAM,
      subjects: [CHANNEL_IN_FILTER],
      maxAgeMs: 5 * MINUTE,
      maxBytes: -1,
      maxMessagesPerSubject: CHANNEL_MESSAGES_KEPT,
      // Clients remember positions; a position is never 0.
      growingSequences: true,
      replicas,
      republish: { from: CHANNEL_IN_FILTER, to: CHANNEL_LIVE_TEMPLATE },
    },
    {
      name: MAIL_STREAM,
      subjects: [MAIL_FILTER],
      maxAgeMs: MAX_TTL_MS,
      maxBytes: -1,
      // Twice what the API lets in: what was accepted while it filled up has to find room.
      maxMessagesPerSubject: 2 * MAILBOX_MESSAGES,
      refuseWhenFull: true,
      messageTtl: true,
      replicas,
    },
    {
      name: RECEIPT_STREAM,
      subjects: [RECEIPT_FILTER],
      maxAgeMs: MAX_TTL_MS + RECEIPT_KEPT_MS,
      maxBytes: -1,
      maxMessages: RECEIPTS_KEPT,
      maxMessagesPerSubject: 16,
      messageTtl: true,
      replicas,
    },
    {
      name: STATE_STREAM,
      subjects: [STATE_FILTER],
      maxAgeMs: DAY,
      maxBytes: logMaxBytes,
      maxMessagesPerSubject: -1,
      replicas,
    },
    {
      name: UPLINK_STREAM,
      subjects: [UPLINK_FILTER],
      maxAgeMs: DAY,
      maxBytes: logMaxBytes,
      maxMessagesPerSubject: -1,
      replicas,
    },
  ];
}

export function buckets(options: LayoutOptions): BucketSpec[] {
  const { replicas } = options;
  const forever = 0;
  return [
    { name: "hf_route", ttlMs: ROUTE_TTL_MS, replicas },
    { name: "hf_user", ttlMs: ROUTE_TTL_MS, replicas },
    { name: "hf_room", ttlMs: forever, replicas },
    { name: "hf_business", ttlMs: forever, replicas },
    { name: "hf_full", ttlMs: MAX_TTL_MS, replicas },
    { name: "hf_app", ttlMs: forever, replicas },
    { name: "hf_key", ttlMs: forever, replicas },
    { name: "hf_lease", ttlMs: forever, replicas },
    { name: "hf_checkpoint", ttlMs: forever, replicas },
    { name: "hf_meta", ttlMs: forever, replicas },
  ];
}
