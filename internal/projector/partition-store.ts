import {
  type Checkpoint,
  decodeJson,
  encodeJson,
  type Route,
  type UserDevice,
} from "../../streams/records.ts";
import { partitionKey, routePartitionFilter, userKey } from "../../streams/subjects.ts";
import type { Bucket, LogReader, PutOutcome } from "../bus/contract.ts";
import { HoldfastError } from "../status/errors.ts";
import { type Progress, RouteTable } from "./fold/route-table.ts";

export interface Buckets {
  route: Bucket;
  user: Bucket;
  checkpoint: Bucket;
}

/** A stored value; undefined for a key that was deleted, whose revision still counts. */
export interface Stored<T> {
  key: string;
  value: T | undefined;
  revision: number;
}

/** A partition as it is stored, and the table that its log after the checkpoint is folded into. */
export interface StoredPartition {
  checkpoint: Stored<Checkpoint>;
  table: RouteTable;
  routes: Stored<Route>[];
  users: Stored<UserDevice>[];
  /** The newest sequence of the log. */
  last: number;
}

const USERS_AT_ONCE = 500;

export interface LoadOptions {
  partition: number;
  /** The new owner. */
  id: string;
  buckets: Buckets;
  reader: LogReader;
  /** Read the whole log, because the part after the checkpoint is not there any more. */
  fromStart: boolean;
  /** Whether this projector still owned the partition at some moment after the call. */
  confirmed(): Promise<boolean>;
}

/**
 * Claims a partition and loads it. The checkpoint is claimed first: from then on no earlier owner
 * can move it, so the routes read after it are at least what it promises.
 */
export async function loadPartition(options: LoadOptions): Promise<StoredPartition> {
  const { partition, buckets, reader, fromStart } = options;
  const checkpoint = await claimCheckpoint(options);
  const routes = await loadRoutes(buckets, partition);
  const users = await loadUsers(buckets, routes);
  const last = await reader.lastSequence(partition);

  const values = routes.flatMap(({ value }) => (value === undefined ? [] : [value]));
  const { sequence, numbers, dead } = checkpoint.value;
  const newest = values.reduce((max, route) => Math.max(max, route.sequence), sequence);
  // A log that ends before what was made of it is another log: its sequences mean other records.
  // So is one that was cut, or has lost its end and grown again.
  const otherLog = last < newest || fromStart;
  if (otherLog) for (const route of values) route.sequence = 0;
  // The numbers hold in any log, as the nodes go on counting.
  const progress: Progress = { sequence: otherLog ? 0 : sequence, numbers, dead };
  return { checkpoint, table: RouteTable.restore(progress, values), routes, users, last };
}

/** The stored routes of a partition. Values that cannot be read are there to be written over. */
async function loadRoutes(buckets: Buckets, partition: number): Promise<Stored<Route>[]> {
  const routes: Stored<Route>[] = [];
  for await (const { key, value, revision } of buckets.route.list(
    routePartitionFilter(partition),
  )) {
    routes.push({ key, value: readable<Route>(value), revision });
  }
  return routes;
}

/** What is stored of the users of these routes, for those routes that have one. */
async function loadUsers(
  buckets: Buckets,
  routes: readonly Stored<Route>[],
): Promise<Stored<UserDevice>[]> {
  const keys: string[] = [];
  for (const { value } of routes) {
    if (value !== undefined && value.user !== "") {
      keys.push(userKey(value.app, value.user, value.device));
    }
  }
  const users: Stored<UserDevice>[] = [];
  for (let from = 0; from < keys.length; from += USERS_AT_ONCE) {
    const entries = await buckets.user.getMany(keys.slice(from, from + USERS_AT_ONCE));
    for (const entry of entries) {
      if (entry === undefined) continue;
      const { key, value, revision } = entry;
      users.push({ key, value: readable<UserDevice>(value), revision });
    }
  }
  return users;
}

/** Writes this owner into the checkpoint. */
async function claimCheckpoint({
  partition,
  id,
  buckets,
  confirmed,
}: LoadOptions): Promise<{ key: string; value: Checkpoint; revision: number }> {
  const key = partitionKey(partition);
  const none = { sequence: 0, read: 0, numbers: {}, dead: {} };
  const stored = await buckets.checkpoint.latest(key);
  const checkpoint: Checkpoint = { ...none, ...readable<Checkpoint>(stored?.value), owner: id };
  const expected = stored?.revision ?? 0;
  // Asked after the revision was read: whoever takes over later claims it under another one.
  if (!(await confirmed())) {
    throw new HoldfastError("conflict", `partition ${partition} has another owner`);
  }
  const outcome = await new Promise<PutOutcome>((resolve) => {
    buckets.checkpoint.put(key, encodeJson(checkpoint), expected, resolve);
  });
  if (outcome.kind !== "stored") {
    throw new HoldfastError(
      outcome.kind === "conflict" ? "conflict" : "unavailable",
      `the checkpoint of partition ${partition} could not be claimed: ${outcome.kind}`,
    );
  }
  return { key, value: checkpoint, revision: outcome.revision };
}

function readable<T>(value: Uint8Array | undefined): T | undefined {
  if (value === undefined) return undefined;
  try {
    return decodeJson<T>(value);
  } catch {
    return undefined;
  }
}
