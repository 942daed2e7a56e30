import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireNatsServer, defaultCacheDir } from "../../internal/nats-server/acquire.ts";
import { startNatsProcess } from "../../internal/nats-server/nats-process.ts";
import { serverConfig } from "../../internal/nats-server/server-config.ts";
import { startWatchdog } from "../../internal/nats-server/watchdog.ts";
import type { TestNats, TestNatsSpec } from "./nats.ts";

/** The nats-server that tests on this machine run. */
export async function localBinary(): Promise<string> {
  const { path } = await acquireNatsServer({
    explicit: process.env.HOLDFAST_NATS_SERVER,
    searchPath: process.env.PATH ?? "",
    cacheDir: defaultCacheDir(process.env),
    onProgress: (message) => console.log(message),
  });
  return path;
}

export async function startLocally(spec: TestNatsSpec): Promise<TestNats> {
  const { serverName, port } = spec;
  const binary = await localBinary();
  const folder = await mkdtemp(join(tmpdir(), "holdfast-nats-"));
  const configFile = join(folder, "nats.conf");
  const usual = serverConfig({ serverName, port, storeDir: join(folder, "store") });
  await writeFile(configFile, JSON.stringify({ ...usual, ...spec.config }));

  const watchdog = await startWatchdog();
  const run = () =>
    startNatsProcess({ binary, configFile, port, serverName, onSpawn: watchdog.guard });
  let server = await run();

  const nats: TestNats = {
    kind: "local",
    url: `nats://127.0.0.1:${port}`,
    get pid() {
      return server.pid;
    },
    async start() {
      server = await run();
    },
    async stop() {
      await server.stop();
      watchdog.release();
    },
    async kill() {
      server.kill("SIGKILL");
      await server.exited;
      watchdog.release();
    },
    freeze: () => server.kill("SIGSTOP"),
    thaw: () => server.kill("SIGCONT"),
    async restart() {
      await nats.kill();
      await nats.start();
    },
    async [Symbol.asyncDispose]() {
      await nats.kill();
      await watchdog[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return nats;
}
