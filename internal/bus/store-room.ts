/** How much store JetStream has for a layout, before anything of it is made. */
import { setTimeout as delay } from "node:timers/promises";
import { type JetStreamManager, jetstreamManager, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { boundedBytes, LEAST_STORE_BYTES, limitsWithin } from "../../streams/layout.ts";
import type { Deployment } from "../../streams/records.ts";
import { HoldfastError } from "../status/errors.ts";
import { apiErrorCode, isNoRoom, JS, natsError } from "./nats-errors.ts";

const GIB = 1024 ** 3;
/** What a deployment takes of each server unless it is told otherwise. */
export const DEFAULT_STORE_BYTES = 16 * GIB;
/** Of a store that is smaller than that: the rest is for what the server keeps besides. */
const SHARE_OF_A_SMALL_STORE = 0.8;

export interface StoreRoom {
  /** What is not reserved yet on each of as many servers as there are copies. */
  bytes: number;
  /** There may be more: nobody asked further. */
  atLeast: boolean;
}

/** What a first start wants, where it says. */
export interface Setup {
  partitions: number;
  logStreams: number;
  replicas: number;
  storeMaxBytes?: number | undefined;
  logMaxBytes?: number | undefined;
}

export interface Planned {
  deployment: Deployment;
  /** What its bounded streams and buckets may come to on each server. */
  wantsBytes: number;
  room: StoreRoom;
}

/**
 * The deployment of a first start, with limits that fit into the store.
 * @throws HoldfastError `exhausted` naming what is wanted and what there is when they do not.
 */
export async function planDeployment(nc: NatsConnection, setup: Setup): Promise<Planned> {
  const wanted = deploymentOf(setup, setup.storeMaxBytes ?? DEFAULT_STORE_BYTES);
  const room = await storeRoom(nc, setup.replicas, boundedBytes(wanted));
  const small = setup.storeMaxBytes === undefined && room.bytes < boundedBytes(wanted);
  const deployment = small
    ? deploymentOf(setup, Math.floor(room.bytes * SHARE_OF_A_SMALL_STORE))
    : wanted;
  const wantsBytes = boundedBytes(deployment);
  const tooSmall = (deployment.storeMaxBytes ?? 0) < LEAST_STORE_BYTES;
  if (wantsBytes > room.bytes || tooSmall) {
    const wants = bytesText(tooSmall ? LEAST_STORE_BYTES : wantsBytes);
    throw new HoldfastError(
      "exhausted",
      `the streams want ${wants} of the store of each server, and there are ${bytesText(room.bytes)} not reserved: ` +
        "set --store-max-bytes (HOLDFAST_STORE_MAX_BYTES) to less, or give JetStream more (max_file_store, or the account's max_storage)",
    );
  }
  return { deployment, wantsBytes, room };
}

function deploymentOf(setup: Setup, storeMaxBytes: number): Deployment {
  const { partitions, logStreams, replicas, logMaxBytes } = setup;
  const limits = limitsWithin(storeMaxBytes, logStreams);
  const own = logMaxBytes === undefined ? {} : { logMaxBytes };
  return { partitions, logStreams, replicas, storeMaxBytes, ...limits, ...own };
}

/** How much more a layout with so many copies may reserve, asked no further than `upTo`. */
export async function storeRoom(
  nc: NatsConnection,
  replicas: number,
  upTo: number,
): Promise<StoreRoom> {
  try {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const ofAccount = await accountRoom(jsm, replicas);
    const most = Math.min(ofAccount, upTo);
    const bytes = await serverRoom(jsm, replicas, most);
    return { bytes, atLeast: bytes === most && most < ofAccount };
  } catch (reason) {
    throw natsError("cannot find out how much store there is", reason);
  }
}

async function accountRoom(jsm: JetStreamManager, replicas: number): Promise<number> {
  const account = await jsm.getAccountInfo();
  const tier = account.tiers?.[`R${replicas}`];
  const { limits, reserved_storage: reserved } = tier ?? account;
  // Negative, or left out: no bound.
  if (!(limits.max_storage > 0)) return Number.POSITIVE_INFINITY;
  // Without tiers an account pays for every copy.
  const copies = tier === undefined ? replicas : 1;
  return Math.max(0, Math.floor((limits.max_storage - (reserved ?? 0)) / copies));
}

const PROBE = "HF_PROBE";
const PROBE_TRIES = 50;
const PROBE_PAUSE_MS = 100;
/** Of what is found out to fit. */
const PRECISION = 0.01;

/**
 * A server does not tell its clients how large its store is, but it refuses streams that do not fit. One
 * without messages costs nothing, and is gone again at once.
 */
async function serverRoom(jsm: JetStreamManager, replicas: number, most: number): Promise<number> {
  if (most < 1 || (await fits(jsm, replicas, most))) return most;
  let [below, above] = [0, most];
  while (above - below > Math.max(below * PRECISION, 1)) {
    const middle = Math.floor((below + above) / 2);
    if (await fits(jsm, replicas, middle)) below = middle;
    else above = middle;
  }
  return below;
}

async function fits(jsm: JetStreamManager, replicas: number, bytes: number): Promise<boolean> {
  for (let attempt = 0; attempt < PROBE_TRIES; attempt++) {
    try {
      await jsm.streams.add({
        name: PROBE,
        subjects: ["hf.probe"],
        storage: StorageType.File,
        max_bytes: Math.max(1, Math.floor(bytes)),
        num_replicas: replicas,
      });
      await removeProbe(jsm);
      return true;
    } catch (reason) {
      if (isNoRoom(reason)) return false;
      if (apiErrorCode(reason) !== JS.streamNameInUse) throw reason;
      // Another start is asking the same, or was killed while it did.
      await delay(PROBE_PAUSE_MS);
      if (attempt % 10 === 9) await removeProbe(jsm);
    }
  }
  throw new HoldfastError("unavailable", `stream ${PROBE} is in the way`);
}

async function removeProbe(jsm: JetStreamManager): Promise<void> {
  try {
    await jsm.streams.delete(PROBE);
  } catch (reason) {
    if (apiErrorCode(reason) !== JS.streamNotFound) throw reason;
  }
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** "16.0 GiB" */
export function bytesText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
