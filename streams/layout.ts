/**
 * Every stream and bucket with its limits. internal/bus/reconcile.ts makes NATS agree with this page.
 */
import {
  CHANNEL_IN_FILTER,
  CHANNEL_LIVE_TEMPLATE,
  logPartitionFilter,
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
      replicas,
      republish: { from: CHANNEL_IN_FILTER, to: CHANNEL_LIVE_TEMPLATE },
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
    { name: "hf_app", ttlMs: forever, replicas },
    { name: "hf_key", ttlMs: forever, replicas },
    { name: "hf_lease", ttlMs: forever, replicas },
    { name: "hf_checkpoint", ttlMs: forever, replicas },
    { name: "hf_meta", ttlMs: forever, replicas },
  ];
}
