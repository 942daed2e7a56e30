/** One gateway per data folder. A lock whose holder was killed is taken over. */

import { randomUUID } from "node:crypto";
import { link, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { HoldfastError } from "../status/errors.ts";
import { isRunning, readRecord, recordOf, writeRecord } from "./process-record.ts";

/** Holds the folder until disposed; throws `conflict` while another live process holds it. */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const lock = join(folder, "gateway.lock");
  const mine = `${lock}.${randomUUID()}`;
  const self = await recordOf(process.pid);
  if (self === undefined) throw new HoldfastError("internal", "this process has no start time");
  await writeRecord(mine, self);
  try {
    while (!(await linkIfAbsent(mine, lock))) {
      await removeIfAbandoned(lock, folder);
    }
  } finally {
    await rm(mine, { force: true });
  }
  return { [Symbol.asyncDispose]: () => rm(lock, { force: true }) };
}

/** A link appears whole or not at all, and only one of many who try at once succeeds. */
async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function removeIfAbandoned(lock: string, folder: string): Promise<void> {
  await throwIfHeld(lock, folder);
  // Moved aside instead of deleted: of several who found it abandoned, one gets it. Should it
  // have changed hands since it was read, it goes back.
  const aside = `${lock}.${randomUUID()}`;
  await rename(lock, aside).catch(() => {});
  try {
    await throwIfHeld(aside, folder);
  } catch (held) {
    await linkIfAbsent(aside, lock);
    throw held;
  } finally {
    await rm(aside, { force: true });
  }
}

async function throwIfHeld(lock: string, folder: string): Promise<void> {
  const holder = await readRecord(lock);
  if (holder === undefined || !(await isRunning(holder))) return;
  throw new HoldfastError(
    "conflict",
    `the data folder ${folder} is in use by another gateway (process ${holder.pid}); stop that one or choose another folder`,
  );
}
