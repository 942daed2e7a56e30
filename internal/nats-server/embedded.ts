/**
 * The NATS server that `holdfast all` brings along: on loopback, its data in the data folder,
 * started again when it dies, gone when the gateway is gone.
 */

import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { lockFolder } from "./folder-lock.ts";
import { freePort } from "./free-port.ts";
import { stopLeftover } from "./leftover.ts";
import { startNatsProcess } from "./nats-process.ts";
import { recordOf, writeRecord } from "./process-record.ts";
import { serverConfig } from "./server-config.ts";
import { Supervisor, type SupervisorEvent } from "./supervisor.ts";
import { startWatchdog } from "./watchdog.ts";

export type EmbeddedNatsEvent = SupervisorEvent | { readonly kind: "log"; readonly line: string };

export interface EmbeddedNatsOptions {
  readonly dataDir: string;
  /** The nats-server to run; see `acquireNatsServer`. */
  readonly binary: string;
  /** Default: a free one, which then stays the same however often the server is restarted. */
  readonly port?: number | undefined;
  readonly onEvent?: ((event: EmbeddedNatsEvent) => void) | undefined;
}

export interface EmbeddedNats extends AsyncDisposable {
  readonly url: string;
  readonly binary: string;
  readonly version: string;
  /** The process id of the present server; another one after each restart. */
  readonly pid: number;
}

/** Throws `conflict` when another live gateway uses the data folder. */
export async function startEmbeddedNats(options: EmbeddedNatsOptions): Promise<EmbeddedNats> {
  const { binary, onEvent = () => {} } = options;
  const dataDir = resolve(options.dataDir);
  const configFile = join(dataDir, "nats-server.conf");
  const recordFile = join(dataDir, "nats-server.pid");
  await mkdir(dataDir, { recursive: true });

  await using started = new AsyncDisposableStack();
  started.use(await lockFolder(dataDir));
  await stopLeftover(recordFile);
  const watchdog = started.use(await startWatchdog());

  const port = options.port ?? (await freePort());
  const serverName = `holdfast-${randomBytes(4).toString("hex")}`;
  const config = serverConfig({ serverName, port, storeDir: join(dataDir, "nats") });
  await writeFile(configFile, `${JSON.stringify(config, null, 2)}\n`);

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
  const supervisor = started.use(
    await Supervisor.start(launch, (event) => {
      if (event.kind === "exited") watchdog.release();
      onEvent(event);
    }),
  );

  const running = started.move();
  return {
    url: `nats://127.0.0.1:${port}`,
    binary,
    version: supervisor.current.version,
    get pid() {
      return supervisor.current.pid;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
