import { decodeJson, encodeJson, type LogLift, type ReadRecord } from "../../../streams/records.ts";
import { liftKey } from "../../../streams/subjects.ts";
import type { Bucket, LogReader, PutOutcome } from "../../bus/contract.ts";
import { HoldfastError } from "../../status/errors.ts";

/** More than a log can have grown since it was last synced. */
const LIFT = 100_000_000;

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
  raised(afterMs: number, foundAtMs: number): LogLifts {
    const highest = this.#lifts.reduce((most, { by }) => Math.max(most, by), 0);
    return new LogLifts([...this.#lifts, { afterMs, by: highest + LIFT, foundAtMs }]);
  }

  /** Whether a loss was found since: what was read before and is gone is allowed for. */
  foundSince(timeMs: number): boolean {
    return this.#lifts.some(({ foundAtMs }) => foundAtMs > timeMs);
  }

  get list(): readonly LogLift[] {
    return this.#lifts;
  }
}

export interface LoadLiftsOptions {
  partition: number;
  bucket: Bucket;
  reader: Pick<LogReader, "holds">;
  /** What is known to have been read of the log: by an owner in this process, and by the checkpoint's. */
  read: readonly ReadRecord[];
  nowMs: number;
}

/**
 * The lifts of a partition; one more, written down, when the log has lost what was read of it. `isWhole`:
 * it has lost nothing since, so that it can be read on from there.
 * @throws HoldfastError when nobody answers.
 */
export async function loadLifts(
  options: LoadLiftsOptions,
): Promise<{ lifts: LogLifts; isWhole: boolean }> {
  const { partition, bucket, reader, read, nowMs } = options;
  const key = liftKey(partition);
  let lifts = new LogLifts();
  let revision = 0;
  for await (const entry of bucket.list(key)) {
    revision = entry.revision;
    if (entry.value !== undefined) lifts = new LogLifts(decodeJson<LogLift[]>(entry.value));
  }
  let isWhole = true;
  for (const { sequence, storedAtMs, readAtMs } of read) {
    if (await reader.holds(partition, sequence, storedAtMs)) continue;
    isWhole = false;
    if (lifts.foundSince(readAtMs)) continue;
    // What is left was stored before that record, and what takes the place of what is lost, after it.
    lifts = lifts.raised(storedAtMs, nowMs);
    await write(bucket, key, lifts, revision);
  }
  return { lifts, isWhole };
}

async function write(bucket: Bucket, key: string, lifts: LogLifts, revision: number) {
  const outcome = await new Promise<PutOutcome>((resolve) =>
    bucket.put(key, encodeJson(lifts.list), revision, resolve),
  );
  if (outcome.kind === "stored") return;
  const code = outcome.kind === "conflict" ? "conflict" : "unavailable";
  throw new HoldfastError(code, `that a log has lost its end could not be written down (${key})`);
}
