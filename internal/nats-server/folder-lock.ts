/**
 * One gateway per data folder. Node has no call for a lock that the operating system frees when its
 * holder dies, and files alone cannot take over a dead one's lock without two taking it at times;
 * SQLite, which comes with Node, has such a lock on every platform.
 */

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { HoldfastError } from "../status/errors.ts";
import { readRecord, recordOf, writeRecord } from "./process-record.ts";

/** SQLITE_BUSY and SQLITE_LOCKED of https://sqlite.org/rescode.html: another has it. */
const HELD = [5, 6];

/** Holds the folder until disposed; throws `conflict` while another live process holds it. */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const holderFile = join(folder, "gateway.pid");
  const lock = tryLock(join(folder, "lock.sqlite"));
  if (lock === undefined) throw inUse(folder, (await readRecord(holderFile))?.pid);
  await using held = new AsyncDisposableStack();
  held.defer(() => lock.close());
  held.defer(() => rm(holderFile, { force: true }));
  const self = await recordOf(process.pid);
  if (self !== undefined) await writeRecord(holderFile, self);
  return held.move();
}

/**
 * Undefined when it is held. The file is never deleted: who waited for the old one and who makes a
 * new one would both hold theirs. Nor may this process open it otherwise: closing it would unlock.
 */
function tryLock(file: string): DatabaseSync | undefined {
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database.close();
    if (HELD.includes((error as { errcode?: number }).errcode ?? 0)) return undefined;
    throw error;
  }
}

function inUse(folder: string, holder: number | undefined): HoldfastError {
  const who = holder === undefined ? "another gateway" : `another gateway (process ${holder})`;
  return new HoldfastError(
    "conflict",
    `the data folder ${folder} is in use by ${who}; stop that one or choose another folder`,
  );
}
