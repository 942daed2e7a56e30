/**
 * Every stream and bucket with its limits. internal/bus/reconcile.ts makes NATS agree with this page.
 */
import {
  CHANNEL_IN_FILTER,
  CHANNEL_LIVE_TEMPLATE,
  logPartitionFilter,
  MAIL_FILTER,
  RECEIPT_INDEX_FILTER,
  RECEIPT_PAGE_FILTER,
  STATE_FILTER,
  UPLINK_FILTER,
} from "./subjects.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const UNBOUNDED = -1;

export interface LayoutOptions extends ByteLimits {
  /** How many partitions the devices are spread over. */
  partitions: number;
  /** How many streams carry the partitions. */
  logStreams: number;
  /** Copies of each stream: 1, or 3 and more in a NATS cluster. */
  replicas: number;
}

/** The most that streams and buckets may hold, in bytes of each server. Absent: no bound. */
export interface ByteLimits {
  /** Each of the log's streams. */
  logMaxBytes: number;
  mailMaxBytes?: number;
  uplinkMaxBytes?: number;
  stateMaxBytes?: number;
  roomMaxBytes?: number;
  receiptMaxBytes?: number;
  /** Bucket `hf_route`. */
  routeMaxBytes?: number;
  /** Bucket `hf_user`. */
  userMaxBytes?: number;
  /** Each of the buckets `hf_room` and `hf_mailbox`. */
  tableMaxBytes?: number;
}

/** In which parts a store is divided. The rest is for the buckets that stay small by themselves. */
const SHARES: Required<ByteLimits> = {
  logMaxBytes: 0.32,
  mailMaxBytes: 0.15,
  uplinkMaxBytes: 0.15,
  stateMaxBytes: 0.1,
  roomMaxBytes: 0.04,
  receiptMaxBytes: 0.05,
  routeMaxBytes: 0.08,
  userMaxBytes: 0.03,
  tableMaxBytes: 0.015,
};

export type ByteLimit = keyof ByteLimits;
export const BYTE_LIMITS = Object.keys(SHARES) as ByteLimit[];

/** Less would not hold a few of the largest messages in each stream. */
export const LEAST_STORE_BYTES = 64 * 1024 * 1024;

/** The limits with which the whole layout fits into so many bytes of each server. */
export function limitsWithin(storeBytes: number, logStreams: number): Required<ByteLimits> {
  const limits = { ...SHARES };
  for (const name of BYTE_LIMITS) limits[name] = Math.floor(storeBytes * SHARES[name]);
  limits.logMaxBytes = Math.floor(limits.logMaxBytes / logStreams);
  return limits;
}

/** What the bounded part of the layout may come to on each server. */
export function boundedBytes(options: LayoutOptions): number {
  const all = [...streams(options), ...buckets(options)];
  return all.reduce((sum, { maxBytes }) => sum + Math.max(0, maxBytes), 0);
}

/** How much of `HF_UPLINK` a business may fill with uplinks that it has not read, unless its record says. */
export const BUSINESS_UPLINK_SHARE = 0.25;

export interface StreamSpec {
  name: string;
  subjects: string[];
  maxAgeMs: number;
  /** -1: no bound. */
  maxBytes: number;
  /** -1: no bound. */
  maxMessagesPerSubject: number;
  /** A stream or subject that is full refuses messages, instead of dropping its oldest. */
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
  /** -1: no bound. A full one takes new values of the keys it has, and no new keys. */
  maxBytes: number;
  replicas: number;
}

export type BucketName =
  | "hf_route"
  | "hf_user"
  | "hf_room"
  | "hf_business"
  | "hf_mailbox"
  | "hf_app"
  | "hf_key"
  | "hf_revoked"
  | "hf_lease"
  | "hf_checkpoint"
  | "hf_snapshot"
  | "hf_meta";

/** The longest that a token may be good. */
export const MAX_TOKEN_MS = 15 * MINUTE;

/** How long an offline device stays known. */
export const ROUTE_TTL_MS = 7 * DAY;

/**
 * How long a snapshot of a partition is kept. A newer one replaces it within minutes while there is
 * anything new; this cleans up after an owner that died while it wrote one.
 */
const SNAPSHOT_TTL_MS = DAY;

export const ROOM_STREAM = "HF_ROOM";
/** How many messages of one room, zone or app are kept, for clients that were away for a moment. */
export const CHANNEL_MESSAGES_KEPT = 1_000;
export const UPLINK_STREAM = "HF_UPLINK";
export const STATE_STREAM = "HF_STATE";
export const MAIL_STREAM = "HF_MAIL";
export const RECEIPT_STREAM = "HF_RECEIPT";
export const RECEIPT_INDEX_STREAM = "HF_RECEIPT_INDEX";

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
/**
 * What the receipts of a constant 5,000 messages a second come to in that time: about 80 bytes each on
 * their pages, and 4 in the index. With less room the oldest go sooner.
 */
export const RECEIPT_PAGE_BYTES = 2 * 1024 * 1024 * 1024;
export const RECEIPT_INDEX_BYTES = 256 * 1024 * 1024;
const RECEIPT_INDEX_SHARE = RECEIPT_INDEX_BYTES / (RECEIPT_PAGE_BYTES + RECEIPT_INDEX_BYTES);

/** The stream that carries a partition. */
export function logStream(partition: number, logStreams: number): string {
  return `HF_LOG_${partition % logStreams}`;
}

export function streams(options: LayoutOptions): StreamSpec[] {
  const { partitions, logStreams, replicas, logMaxBytes } = options;
  const { mailMaxBytes, uplinkMaxBytes, stateMaxBytes, roomMaxBytes, receiptMaxBytes } = options;
  const receiptIndexBytes =
    receiptMaxBytes === undefined ? UNBOUNDED : Math.ceil(receiptMaxBytes * RECEIPT_INDEX_SHARE);
  const receiptPageBytes =
    receiptMaxBytes === undefined ? UNBOUNDED : receiptMaxBytes - receiptIndexBytes;
  const logs = Array.from({ length: logStreams }, (_, s): StreamSpec => {
    const own = Array.from({ length: partitions }, (_, p) => p).filter((p) => p % logStreams === s);
    return {
      name: `HF_LOG_${s}`,
      subjects: own.map(logPartitionFilter),
      // As long as a message may have been accepted before its device or a projector comes. What lies
      // behind every checkpoint goes much sooner: internal/projector/retention.
      maxAgeMs: MAX_TTL_MS,
      maxBytes: logMaxBytes,
      maxMessagesPerSubject: -1,
      refuseWhenFull: true,
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
      maxBytes: roomMaxBytes ?? UNBOUNDED,
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
      maxBytes: mailMaxBytes ?? UNBOUNDED,
      // Twice what the API lets in: what was accepted while it filled up has to find room.
      maxMessagesPerSubject: 2 * MAILBOX_MESSAGES,
      refuseWhenFull: true,
      messageTtl: true,
      replicas,
    },
    {
      name: RECEIPT_STREAM,
      subjects: [RECEIPT_PAGE_FILTER],
      maxAgeMs: MAX_TTL_MS + RECEIPT_KEPT_MS,
      maxBytes: receiptPageBytes,
      maxMessagesPerSubject: -1,
      messageTtl: true,
      replicas,
    },
    {
      name: RECEIPT_INDEX_STREAM,
      subjects: [RECEIPT_INDEX_FILTER],
      maxAgeMs: MAX_TTL_MS + RECEIPT_KEPT_MS,
      maxBytes: receiptIndexBytes,
      maxMessagesPerSubject: -1,
      messageTtl: true,
      replicas,
    },
    {
      name: STATE_STREAM,
      subjects: [STATE_FILTER],
      maxAgeMs: DAY,
      maxBytes: stateMaxBytes ?? UNBOUNDED,
      maxMessagesPerSubject: -1,
      refuseWhenFull: true,
      replicas,
    },
    {
      name: UPLINK_STREAM,
      subjects: [UPLINK_FILTER],
      maxAgeMs: DAY,
      maxBytes: uplinkMaxBytes ?? UNBOUNDED,
      maxMessagesPerSubject: -1,
      refuseWhenFull: true,
      replicas,
    },
  ];
}

export function buckets(options: LayoutOptions): BucketSpec[] {
  const { replicas, routeMaxBytes, userMaxBytes, tableMaxBytes } = options;
  const maxBytes = UNBOUNDED;
  const table = tableMaxBytes ?? UNBOUNDED;
  const forever = 0;
  return [
    { name: "hf_route", ttlMs: ROUTE_TTL_MS, maxBytes: routeMaxBytes ?? maxBytes, replicas },
    { name: "hf_user", ttlMs: ROUTE_TTL_MS, maxBytes: userMaxBytes ?? maxBytes, replicas },
    { name: "hf_room", ttlMs: forever, maxBytes: table, replicas },
    { name: "hf_business", ttlMs: forever, maxBytes, replicas },
    { name: "hf_mailbox", ttlMs: MAX_TTL_MS, maxBytes: table, replicas },
    { name: "hf_app", ttlMs: forever, maxBytes, replicas },
    { name: "hf_key", ttlMs: forever, maxBytes, replicas },
    // As long as a token that is revoked could have been good, with room for clocks that differ.
    { name: "hf_revoked", ttlMs: 2 * MAX_TOKEN_MS, maxBytes, replicas },
    { name: "hf_lease", ttlMs: forever, maxBytes, replicas },
    { name: "hf_checkpoint", ttlMs: forever, maxBytes, replicas },
    { name: "hf_snapshot", ttlMs: SNAPSHOT_TTL_MS, maxBytes, replicas },
    { name: "hf_meta", ttlMs: forever, maxBytes, replicas },
  ];
}
