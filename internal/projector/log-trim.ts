import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { logStream } from "../../streams/layout.ts";
import { type Checkpoint, decodeJson } from "../../streams/records.ts";
import {
  ALL_KEYS,
  logMarkSubject,
  logPartitionFilter,
  NODE_DOWNS_FILTER,
  partitionOfKey,
} from "../../streams/subjects.ts";
import type { Appender, Bucket, StreamState, Streams } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import { REMEMBER_DEAD_MS } from "./fold/fold.ts";

/** What is not needed any more is kept for so long all the same, for people who look for a fault. */
const KEEP_MS = 60 * 60 * 1_000;
/** While the stream is fuller than this, nothing is kept that is not needed. */
const PRESSED_ABOVE = 0.5;
/**
 * Before the API refuses messages, and before none of the records fit in that trimming itself would add.
 * What only makes the load of a new owner shorter counts no more.
 */
const FULL_ABOVE = 0.75;
/** Fewer are not worth the trouble. */
const LEAST_RECORDS = 1_000;
/** Somewhat less than what the fold remembers: it must not forget first. */
const CARRY_MS = REMEMBER_DEAD_MS - KEEP_MS;
const ASKED_AT_ONCE = 32;

export interface LogTrimOptions {
  streams: Streams;
  /** `hf_checkpoint` */
  checkpoints: Bucket;
  /** To the log. */
  appender: Pick<Appender, "append">;
  clock: Clock;
  /** The log stream, from 0. */
  index: number;
  logStreams: number;
  partitions: number;
}

/**
 * Keeps a stream of the log short: deletes what lies behind the checkpoints of all its partitions. The
 * stream itself never discards anything that is younger than the longest that a message may wait; it
 * refuses more when it is full.
 *
 * Two projectors that both think it is their turn do no harm: a checkpoint that is read late is a lower one.
 */
export class LogTrim {
  readonly #options: LogTrimOptions;
  readonly #stream: string;
  readonly #partitions: readonly number[];
  /** Where the stream ended, and when that was seen. Oldest first. */
  #ends: { atMs: number; sequence: number }[] = [];

  constructor(options: LogTrimOptions) {
    const { index, logStreams, partitions } = options;
    this.#options = options;
    this.#stream = logStream(index, logStreams);
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    this.#partitions = all.filter((partition) => partition % logStreams === index);
  }

  /** Resolves to how many records were deleted. Rejects when somebody does not answer. */
  async round(): Promise<number> {
    const { streams } = this.#options;
    const state = await streams.state(this.#stream);
    const target = this.#target(state);
    if (target <= state.firstSequence) return 0;
    const full = state.maxBytes > 0 && state.bytes > state.maxBytes * FULL_ABOVE;
    const partitions = await this.#progress(target, full);
    const { below, silent } = planTrim(target, partitions, full);
    for (const partition of silent) this.#mark(partition);
    if (below <= state.firstSequence) return 0;
    const deaths = await this.#deaths(below);
    // For a moment they are not there, but otherwise they would wait for ever for room.
    const purged = full ? await streams.purge(this.#stream, { below }) : 0;
    await Promise.all(deaths.map((death) => this.#storeAgain(death)));
    return full ? purged : streams.purge(this.#stream, { below });
  }

  /** Up to where it would be trimmed if nobody needed anything. */
  #target({ bytes, maxBytes, firstSequence, lastSequence }: StreamState): number {
    const now = this.#options.clock.monotonic();
    this.#ends.push({ atMs: now, sequence: lastSequence });
    while ((this.#ends[1]?.atMs ?? now) <= now - KEEP_MS) this.#ends.shift();
    if (maxBytes > 0 && bytes > maxBytes * PRESSED_ABOVE) return lastSequence;
    const [oldest] = this.#ends;
    if (oldest === undefined || oldest.atMs > now - KEEP_MS) return 0;
    return oldest.sequence - firstSequence < LEAST_RECORDS ? 0 : oldest.sequence;
  }

  /** Of every partition; where it matters, with the end of its log. */
  async #progress(target: number, full: boolean): Promise<PartitionProgress[]> {
    const { streams, checkpoints } = this.#options;
    const needed = new Map<number, number>();
    for await (const { key, value } of checkpoints.list(ALL_KEYS)) {
      if (value === undefined) continue;
      const checkpoint = decodeJson<MaybeWithSnapshot>(value);
      needed.set(partitionOfKey(key), full ? checkpoint.sequence : neededFrom(checkpoint));
    }
    return eachOf(this.#partitions, async (partition) => {
      const done = needed.get(partition) ?? 0;
      if (done >= target) return { partition, done, last: done };
      const newest = await streams.newest(this.#stream, logPartitionFilter(partition));
      return { partition, done, last: newest?.position ?? 0 };
    });
  }

  #mark(partition: number): void {
    const { appender, clock } = this.#options;
    const record = create(RecordSchema, { atMs: BigInt(clock.now()) });
    appender.append(logMarkSubject(partition), toBinary(RecordSchema, record));
  }

  /**
   * A node that was frozen or cut off asks the log whether it was declared dead meanwhile. So that
   * record must be there as long as the fold leaves out what the node says; it is put behind the end again
   * before it is deleted. The fold has it already and makes nothing of it.
   */
  async #deaths(below: number): Promise<Death[]> {
    const { streams, clock } = this.#options;
    const { subjects } = await streams.state(this.#stream, NODE_DOWNS_FILTER);
    const found = await eachOf([...subjects.keys()], async (subject) => {
      const newest = await streams.newest(this.#stream, subject);
      if (newest === undefined || newest.position >= below) return [];
      return newest.atMs < clock.now() - CARRY_MS ? [] : [{ subject, data: newest.data }];
    });
    return found.flat();
  }

  #storeAgain({ subject, data }: Death): Promise<void> {
    return new Promise((done) => this.#options.appender.append(subject, data, () => done()));
  }
}

interface Death {
  subject: string;
  data: Uint8Array;
}

export interface PartitionProgress {
  partition: number;
  /** Everything up to this sequence is not needed any more. */
  done: number;
  /** Of its newest record, 0 for none. */
  last: number;
}

/**
 * What may be deleted: everything below the lowest place up to which all is done. The records at those
 * places stay, so that each partition has one, by which a new owner knows that it is the same log. A
 * partition without anything new would hold up the others for ever: if it does it is `silent`, and given a
 * record that says nothing. When the log is `full` there is no room for that record, and it holds up
 * nobody: should it get a new owner just then, that one reads what is left of the log once more.
 */
export function planTrim(
  target: number,
  partitions: readonly PartitionProgress[],
  full: boolean,
): { below: number; silent: number[] } {
  const lowestOf = (some: readonly PartitionProgress[]) =>
    some.reduce((lowest, { done }) => Math.min(lowest, done), target);
  const without = lowestOf(partitions.filter(({ done, last }) => last > done));
  const silent = partitions.filter(({ done, last }) => last <= done && done < without);
  const below = full ? without : lowestOf(partitions);
  return { below, silent: silent.map(({ partition }) => partition) };
}

type MaybeWithSnapshot = Pick<Checkpoint, "sequence"> & { snapshot?: { sequence: number } };

/** With a snapshot a new owner reads the log from there, and without that part loads from the buckets. */
function neededFrom({ sequence, snapshot }: MaybeWithSnapshot): number {
  return Math.min(sequence, snapshot?.sequence ?? sequence);
}

async function eachOf<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const answers: R[] = [];
  for (let from = 0; from < items.length; from += ASKED_AT_ONCE) {
    answers.push(...(await Promise.all(items.slice(from, from + ASKED_AT_ONCE).map(ask))));
  }
  return answers;
}
