/** The layout (streams/layout.ts) in JetStream's terms. */
import {
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamUpdateConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { BucketSpec, StreamSpec } from "../../streams/layout.ts";

/** The fields the gateway depends on; others are the operator's. */
export type WantedConfig = Pick<
  StreamConfig,
  | "name"
  | "subjects"
  | "retention"
  | "storage"
  | "discard"
  | "max_age"
  | "max_bytes"
  | "max_msgs"
  | "max_msgs_per_subject"
  | "num_replicas"
  | "allow_direct"
  | "republish"
> &
  Partial<
    Pick<
      StreamUpdateConfig,
      | "allow_rollup_hdrs"
      | "deny_delete"
      | "discard_new_per_subject"
      | "allow_msg_ttl"
      | "duplicate_window"
    >
  >;

const COMMON = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  max_msgs: -1,
  allow_direct: true,
};

export function streamConfig(spec: StreamSpec): WantedConfig {
  return {
    ...COMMON,
    name: spec.name,
    subjects: spec.subjects,
    discard: spec.refuseWhenFull ? DiscardPolicy.New : DiscardPolicy.Old,
    ...(spec.refuseWhenFull && spec.maxMessagesPerSubject > 0 && { discard_new_per_subject: true }),
    ...(spec.messageTtl && { allow_msg_ttl: true }),
    ...(spec.duplicateWindowMs && { duplicate_window: nanos(spec.duplicateWindowMs) }),
    max_age: nanos(spec.maxAgeMs),
    max_bytes: spec.maxBytes,
    max_msgs_per_subject: spec.maxMessagesPerSubject,
    num_replicas: spec.replicas,
    ...(spec.republish && { republish: { src: spec.republish.from, dest: spec.republish.to } }),
  };
}

/** A bucket is a stream that keeps the newest message of each subject; NATS tools know it as such. */
export function bucketConfig(spec: BucketSpec): WantedConfig {
  return {
    ...COMMON,
    name: bucketStream(spec.name),
    subjects: [`$KV.${spec.name}.>`],
    discard: DiscardPolicy.New,
    max_age: nanos(spec.ttlMs),
    max_bytes: spec.maxBytes,
    max_msgs_per_subject: 1,
    num_replicas: spec.replicas,
    allow_rollup_hdrs: true,
    deny_delete: true,
  };
}

/**
 * The first sequence of a stream that is made at this time, if they are to grow over the making:
 * a million for every second since 1970. That leaves room until 2255 below what a number holds exactly.
 */
export function firstSequence(spec: StreamSpec, nowMs: number): number | undefined {
  return spec.growingSequences ? Math.floor(nowMs / 1_000) * 1_000_000 : undefined;
}

/** The stream behind a bucket. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`;
}

export interface Difference {
  stream: string;
  field: string;
  wanted: string;
  found: string;
  /**
   * `fixed`: the server cannot change it on an existing stream. `limit`: how much is kept, how long and
   * in how many copies, which only the operator changes. `own`: what the gateway cannot do without.
   */
  kind: "fixed" | "limit" | "own";
}

const KINDS: Readonly<Record<string, Difference["kind"]>> = {
  retention: "fixed",
  storage: "fixed",
  discard: "limit",
  discard_new_per_subject: "limit",
  max_age: "limit",
  max_bytes: "limit",
  max_msgs: "limit",
  max_msgs_per_subject: "limit",
  num_replicas: "limit",
};

/** How much a stream keeps, how long and in how many copies. */
export function limitsOf(found: StreamConfig): Partial<WantedConfig> {
  const { discard, discard_new_per_subject, max_age, max_bytes, max_msgs } = found;
  const { max_msgs_per_subject, num_replicas } = found;
  const limits = { discard, max_age, max_bytes, max_msgs, max_msgs_per_subject, num_replicas };
  return { ...limits, discard_new_per_subject: discard_new_per_subject === true };
}

/** Where an existing stream is not as wanted. */
export function differences(wanted: WantedConfig, found: StreamConfig): Difference[] {
  const list: Difference[] = [];
  const compare = (field: string, want: unknown, have: unknown, kind: Difference["kind"]) => {
    const [wantedText, foundText] = [canonical(want), canonical(have)];
    if (wantedText === foundText) return;
    list.push({ stream: wanted.name, field, wanted: wantedText, found: foundText, kind });
  };
  const have = new Map<string, unknown>(Object.entries(found));
  for (const [field, value] of Object.entries(wanted)) {
    compare(field, value, have.get(field), KINDS[field] ?? "own");
  }
  if (wanted.republish === undefined) compare("republish", undefined, found.republish, "own");
  if (wanted.discard_new_per_subject === undefined) {
    compare("discard_new_per_subject", undefined, found.discard_new_per_subject, "limit");
  }
  // Neither gives its messages numbers of its own, nor takes a publish.
  compare("mirror", undefined, found.mirror?.name, "fixed");
  compare("sealed", false, found.sealed, "fixed");
  return list;
}

function canonical(value: unknown): string {
  if (value === undefined || value === false) return "none";
  if (Array.isArray(value)) return value.toSorted().join(", ");
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(
      ([, part]) => part !== undefined && part !== false,
    );
    return entries
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, part]) => `${key}=${part}`)
      .join(" ");
  }
  return String(value);
}
