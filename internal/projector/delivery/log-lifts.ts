import { decodeJson, encodeJson, type LogLift } from "../../../streams/records.ts";
import { liftKey } from "../../../streams/subjects.ts";
import type { Bucket, LogReader, PutOutcome } from "../../bus/contract.ts";
import { HoldfastError } from "../../status/errors.ts";

/** More than a log can have grown since it was last synced. */
const LIFT = 100_000_000;

/** The newest record that was read of a partition. */
export interface LastRead {
  sequence: number;
  /** When the broker stored it, Unix ms. */
  storedAtMs: number;
}

/**
 * Delivery sequences are the log's, and clients count everything up to their last one as handled, for
 * good. A broker that has lost the unsynced end of the log gives the same sequences out once more. So
 * from then on delivery sequences lie above the log's by a lift, which is a function of the time at
 * which the broker stored the record: every owner comes to the same number.
 */
export class LogLifts {
  readonly #lifts: readonly LogLift[];

  constructor(lifts: readonly LogLift[] = []) {
    this.#lifts = lifts;
  }

  /** How far a record's delivery sequence lies above its log sequence. */
  of(storedAtMs: number): number {
    let most = 0;
    for (const { afterMs, by } of this.#lifts) if (storedAtMs > afterMs) most = Math.max(most, by);
    return most;
  }

  /** With one more lift, for what is stored after this time. */
  raised(found: Omit<LogLift, "by">): LogLifts {
    const highest = this.#lifts.reduce((most, { by }) => Math.max(most, by), 0);
    return new LogLifts([...this.#lifts, { ...found, by: highest + LIFT }]);
  }

  /** Whether a loss was found since: what was read before may be gone, and is allowed for. */
  foundSince(timeMs: number): boolean {
    return this.#lifts.some(({ foundAtMs }) => foundAtMs > timeMs);
  }

  /** Whether a loss was found from this checkpoint. */
  foundFrom(readBefore: number): boolean {
    return this.#lifts.some((lift) => lift.readBefore === readBefore);
  }

  get list(): readonly LogLift[] {
    return this.#lifts;
  }
}

export interface LoadLiftsOptions {
  partition: number;
  bucket: Bucket;
  reader: Pick<LogReader, "holds" | "end">;
  /** What an owner in this process has read, if there was one. */
  lastRead: LastRead | undefined;
  /** How far an earlier owner has read. */
  readBefore: number;
  nowMs: number;
}

/**
 * The lifts of a partition; one more, written down, when the log has lost what was read of it.
 * @throws HoldfastError when nobody answers.
 */
export async function loadLifts(options: LoadLiftsOptions): Promise<LogLifts> {
  const { partition, bucket } = options;
  const key = liftKey(partition);
  let lifts = new LogLifts();
  let revision = 0;
  for await (const entry of bucket.list(key)) {
    revision = entry.revision;
    if (entry.value !== undefined) lifts = new LogLifts(decodeJson<LogLift[]>(entry.value));
  }
  const afterMs = await lostAfter(options, lifts);
  if (afterMs === undefined) return lifts;
  const { nowMs: foundAtMs, readBefore } = options;
  const raised = lifts.raised({ afterMs, foundAtMs, readBefore });
  const outcome = await new Promise<PutOutcome>((resolve) =>
    bucket.put(key, encodeJson(raised.list), revision, resolve),
  );
  if (outcome.kind !== "stored") {
    const code = outcome.kind === "conflict" ? "conflict" : "unavailable";
    throw new HoldfastError(code, `that log ${partition} has lost its end could not be written down`);
  }
  return raised;
}

/**
 * When the broker stored the newest record that is still there of what was read, or later; undefined
 * when nothing was lost. 0 when that cannot be known: then messages may come twice, none is lost.
 */
async function lostAfter(
  { partition, reader, lastRead, readBefore }: LoadLiftsOptions,
  lifts: LogLifts,
): Promise<number | undefined> {
  if (lastRead !== undefined && !lifts.foundSince(lastRead.storedAtMs)) {
    const { sequence, storedAtMs } = lastRead;
    if (!(await reader.holds(partition, sequence, storedAtMs))) return storedAtMs;
  }
  if (lifts.foundFrom(readBefore)) return undefined;
  return (await reader.end(partition)) < readBefore ? 0 : undefined;
}
