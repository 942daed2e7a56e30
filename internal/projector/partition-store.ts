import { type Checkpoint, decodeJson, encodeJson, type Route } from "../../streams/records.ts";
import { partitionKey, routePartitionFilter } from "../../streams/subjects.ts";
import type { Bucket, LogReader, PutOutcome } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { SharedTurns } from "../clock/shared-turns.ts";
import type { Logger } from "../observe/logger.ts";
import { HoldfastError } from "../status/errors.ts";
import { type Progress, RouteTable } from "./fold/route-table.ts";
import { REMEMBER_LEFT_MS } from "./recently-left.ts";
import type { SnapshotStore, StoredSnapshot } from "./snapshot/store.ts";

export interface Buckets {
  route: Bucket;
  user: Bucket;
  checkpoint: Bucket;
  snapshot: Bucket;
}

/** A stored value; undefined for a key that was deleted, whose revision still counts. */
export interface Stored<T> {
  key: string;
  value: T;
  revision: number;
}

/** A partition as it is stored, and the table that its log is folded into from there. */
export interface StoredPartition {
  checkpoint: Stored<Checkpoint>;
  table: RouteTable;
  /** What was read of the route bucket. */
  routes: Stored<Route | undefined>[];
  snapshot: StoredSnapshot | undefined;
  /** Where to read the log from. */
  readAfter: number;
  /** Must-arrive messages are read from here. */
  deliverAfter: number;
  /** What the records up to here did to routes is done. */
  doneUpTo: number;
  /** The newest sequence of the log. */
  last: number;
}

/** Routes between two looks at the clock. */
const ROUTES_AT_ONCE = 64;

export interface LoadOptions {
  partition: number;
  /** The new owner. */
  id: string;
  clock: Clock;
  slices: SharedTurns;
  log: Pick<Logger, "warn">;
  buckets: Buckets;
  reader: LogReader;
  snapshots: SnapshotStore;
  /** Read the whole log, because the part after the checkpoint is not there any more. */
  fromStart: boolean;
  /** Whether this projector still owned the partition at some moment after the call. */
  confirmed(): Promise<boolean>;
}

/**
 * Claims a partition and loads it. The checkpoint is claimed first: from then on no earlier owner
 * can move it, so what is read after it is at least what it promises.
 */
export async function loadPartition(options: LoadOptions): Promise<StoredPartition> {
  const checkpoint = await claimCheckpoint(options);
  return (await fromSnapshot(options, checkpoint)) ?? (await fromRoutes(options, checkpoint));
}

/** Undefined when there is no snapshot, or it is not of this log, or not all of it can be read. */
async function fromSnapshot(
  { partition, reader, snapshots, fromStart, log }: LoadOptions,
  checkpoint: Stored<Checkpoint>,
): Promise<StoredPartition | undefined> {
  const { sequence, read, snapshot } = checkpoint.value;
  if (snapshot === undefined || fromStart) return undefined;
  try {
    const { table, stored } = await snapshots.read(snapshot);
    const last = await reader.lastSequence(partition);
    if (last < Math.max(sequence, read, snapshot.sequence)) return undefined;
    return {
      checkpoint,
      table,
      routes: [],
      snapshot: stored,
      readAfter: Math.min(sequence, snapshot.sequence),
      deliverAfter: sequence,
      doneUpTo: read,
      last,
    };
  } catch (reason) {
    const { code, message } = HoldfastError.from(reason);
    if (code !== "not-found") throw reason;
    log.warn({ partition, why: message }, "the routes are read one by one instead");
    return undefined;
  }
}

async function fromRoutes(
  options: LoadOptions,
  checkpoint: Stored<Checkpoint>,
): Promise<StoredPartition> {
  const { partition, reader, slices, fromStart } = options;
  const { sequence, read, numbers, dead } = checkpoint.value;
  const stored: Stored<Route | undefined>[] = [];
  let newest = Math.max(sequence, read);
  for await (const { key, value, revision } of options.buckets.route.list(
    routePartitionFilter(partition),
  )) {
    const route = readable<Route>(value);
    newest = Math.max(newest, route?.sequence ?? 0);
    stored.push({ key, value: route, revision });
  }
  const last = await reader.lastSequence(partition);
  // A log that ends before what was made of it is another log: its sequences mean other records.
  // So is one that was cut, or has lost its end and grown again.
  const otherLog = last < newest || fromStart;
  const readAfter = otherLog ? 0 : sequence;
  // The numbers hold in any log, as the nodes go on counting.
  const progress: Progress = { sequence: readAfter, numbers, dead };
  const table = RouteTable.restore(progress, []);
  const routes: Stored<Route | undefined>[] = [];
  const leftAfter = options.clock.now() - REMEMBER_LEFT_MS;
  await slices.run(
    (function* () {
      for (const [i, one] of stored.entries()) {
        if (i % ROUTES_AT_ONCE === 0) yield;
        const { value: route } = one;
        if (route === undefined) continue;
        // The bucket goes on to speak for the others.
        const ahead = !otherLog && route.sequence > readAfter;
        const wanted = route.online || ahead || route.lastSeen > leftAfter;
        if (!wanted) continue;
        if (otherLog) table.restoreRoute(route);
        else table.restoreStored(route);
        routes.push(one);
      }
    })(),
  );
  return {
    checkpoint,
    table,
    routes,
    snapshot: undefined,
    readAfter,
    deliverAfter: readAfter,
    doneUpTo: otherLog ? 0 : read,
    last,
  };
}

/** Writes this owner into the checkpoint. */
async function claimCheckpoint({
  partition,
  id,
  buckets,
  confirmed,
}: LoadOptions): Promise<Stored<Checkpoint>> {
  const key = partitionKey(partition);
  const entry = await buckets.checkpoint.latest(key);
  const checkpoint: Checkpoint = {
    ...{ sequence: 0, read: 0, numbers: {}, dead: {} },
    ...readable<Checkpoint>(entry?.value),
    owner: id,
  };
  // Asked after the revision was read: whoever takes over later claims it under another one.
  if (!(await confirmed())) {
    throw new HoldfastError("conflict", `partition ${partition} has another owner`);
  }
  const outcome = await new Promise<PutOutcome>((resolve) => {
    buckets.checkpoint.put(key, encodeJson(checkpoint), entry?.revision ?? 0, resolve);
  });
  if (outcome.kind !== "stored") {
    throw new HoldfastError(
      outcome.kind === "conflict" ? "conflict" : "unavailable",
      `the checkpoint of partition ${partition} could not be claimed: ${outcome.kind}`,
    );
  }
  return { key, value: checkpoint, revision: outcome.revision };
}

/** Values that cannot be read are there to be written over. */
function readable<T>(value: Uint8Array | undefined): T | undefined {
  if (value === undefined) return undefined;
  try {
    return decodeJson<T>(value);
  } catch {
    return undefined;
  }
}
