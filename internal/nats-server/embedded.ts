/**
 * The NATS server that `holdfast all` brings along: on loopback, its data in the data folder,
 * started again when it dies, gone when the gateway is gone.
 */

import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { HoldfastError } from "../status/errors.ts";
import { makeFolder, prepareDataFolder, spaceFor } from "./data-folder.ts";
import { lockFolder } from "./folder-lock.ts";
import { canListen, freePort } from "./free-port.ts";
import { stopLeftover } from "./leftover.ts";
import { startNatsProcess } from "./nats-process.ts";
import { EMBEDDED_USER, ensurePassword, LOCAL_USER, newPassword, SECRET_MODE } from "./password.ts";
import { localPermissions } from "./permissions.ts";
import { recordOf, writeRecord } from "./process-record.ts";
import { serverConfig } from "./server-config.ts";
import { Supervisor, type SupervisorEvent } from "./supervisor.ts";
import { startWatchdog } from "./watchdog.ts";

export type EmbeddedNatsEvent =
  | SupervisorEvent
  | { readonly kind: "log"; readonly line: string }
  | { readonly kind: "port-taken"; readonly wanted: number };

export interface EmbeddedNatsOptions {
  readonly dataDir: string;
  /** The nats-server to run; see `acquireNatsServer`. */
  readonly binary: string;
  /** Default: a free one, which then stays the same however often the server is restarted. */
  readonly port?: number | undefined;
  /** Taken instead of any free one, if it is free. */
  readonly preferredPort?: number | undefined;
  /** What the streams are to have of the disk. Default: a part of what there is. */
  readonly storeMaxBytes?: number | undefined;
  readonly onEvent?: ((event: EmbeddedNatsEvent) => void) | undefined;
}

export interface EmbeddedNats extends AsyncDisposable {
  /**
   * Without the user: clients for JavaScript take none from a URL, and find the port behind the first colon
   * that a digit follows, which may be the password's.
   */
  readonly url: string;
  /** May do everything. Who names no user may do everything but read the secrets. */
  readonly user: string;
  readonly password: string;
  readonly binary: string;
  readonly version: string;
  /** The process id of the present server; another one after each restart. */
  readonly pid: number;
}

/** Of the disk that the data folder is on: deleted messages stay in the files for a while. */
const SHARE_OF_DISK = 0.6;

/**
 * @throws HoldfastError `conflict` when another live gateway uses the data folder, `invalid` when it cannot
 *   be written to, `exhausted` when its disk is too small for `storeMaxBytes`.
 */
export async function startEmbeddedNats(options: EmbeddedNatsOptions): Promise<EmbeddedNats> {
  const { binary, onEvent = () => {} } = options;
  const dataDir = resolve(options.dataDir);
  const configFile = join(dataDir, "nats-server.conf");
  const recordFile = join(dataDir, "nats-server.pid");
  await prepareDataFolder(dataDir);

  await using started = new AsyncDisposableStack();
  started.use(await lockFolder(dataDir));
  await stopLeftover(recordFile);
  const watchdog = started.use(await startWatchdog());

  const serverName = `holdfast-${randomBytes(4).toString("hex")}`;
  const storeDir = join(dataDir, "nats");
  await makeFolder(storeDir);
  const maxStoreBytes = await storeBytes(storeDir, options.storeMaxBytes);
  let port = await choosePort(options, onEvent);
  const user = EMBEDDED_USER;
  const password = await ensurePassword(dataDir);
  const users = [
    { user, password },
    // Only programs of this machine reach it.
    { user: LOCAL_USER, password: newPassword(), permissions: localPermissions() },
  ];
  const writeConfig = async () => {
    const settings = { serverName, port, storeDir, maxStoreBytes, users, noAuthUser: LOCAL_USER };
    // Made anew: the mode is only looked at when a file is made.
    await rm(configFile, { force: true });
    await writeFile(configFile, `${JSON.stringify(serverConfig(settings), null, 2)}\n`, {
      mode: SECRET_MODE,
    });
  };
  await writeConfig();

  const launch = (signal?: AbortSignal) =>
    startNatsProcess({
      binary,
      configFile,
      port,
      serverName,
      signal,
      onLog: (line) => onEvent({ kind: "log", line }),
      async onSpawn(pid) {
        watchdog.guard(pid);
        const record = await recordOf(pid);
        if (record !== undefined) await writeRecord(recordFile, record);
      },
    });
  started.defer(() => rm(recordFile, { force: true }));
  const followed = (event: SupervisorEvent) => {
    if (event.kind === "exited") watchdog.release();
    onEvent(event);
  };
  const firstStart = async () => {
    try {
      return await Supervisor.start(launch, followed);
    } catch (reason) {
      // Somebody took it in between.
      if (options.port !== undefined || !isPortTaken(reason)) throw reason;
      onEvent({ kind: "port-taken", wanted: port });
      port = await freePort();
      await writeConfig();
      return Supervisor.start(launch, followed);
    }
  };
  const supervisor = started.use(await firstStart());

  const running = started.move();
  return {
    url: `nats://127.0.0.1:${port}`,
    user,
    password,
    binary,
    version: supervisor.current.version,
    get pid() {
      return supervisor.current.pid;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function choosePort(
  { port, preferredPort }: EmbeddedNatsOptions,
  onEvent: (event: EmbeddedNatsEvent) => void,
): Promise<number> {
  if (port !== undefined) return port;
  if (preferredPort === undefined || preferredPort === 0) return freePort();
  if (await canListen(preferredPort)) return preferredPort;
  onEvent({ kind: "port-taken", wanted: preferredPort });
  return freePort();
}

function isPortTaken(reason: unknown): boolean {
  return HoldfastError.from(reason).message.includes("address already in use");
}

async function storeBytes(storeDir: string, wanted: number | undefined): Promise<number> {
  const there = await spaceFor(storeDir);
  if (wanted !== undefined && wanted > there) {
    throw new HoldfastError(
      "exhausted",
      `--store-max-bytes (HOLDFAST_STORE_MAX_BYTES) is ${wanted}, and the disk of ${storeDir} has ${there} bytes for it`,
    );
  }
  return Math.max(Math.floor(there * SHARE_OF_DISK), wanted ?? 0);
}
