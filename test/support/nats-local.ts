import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireNatsServer, defaultCacheDir } from "../../internal/nats-server/acquire.ts";
import { startNatsProcess } from "../../internal/nats-server/nats-process.ts";
import { serverConfig } from "../../internal/nats-server/server-config.ts";
import { startWatchdog } from "../../internal/nats-server/watchdog.ts";
import type { TestNats, TestNatsSpec } from "./nats.ts";
import { configFor } from "./nats-config.ts";

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
  const { serverName, port, host = "127.0.0.1" } = spec;
  const folder = await mkdtemp(join(tmpdir(), "holdfast-nats-"));
  const configFile = join(folder, "nats.conf");
  const storeDir = join(folder, "store");
  const binary = await programFor(spec, folder);
  const usual = serverConfig({ serverName, host, port, storeDir });
  await writeFile(configFile, JSON.stringify(configFor(spec, usual)));

  const removeStore = await spec.makeStore?.(storeDir);
  const watchdog = await startWatchdog();
  const run = () =>
    startNatsProcess({ binary, configFile, host, port, serverName, onSpawn: watchdog.guard });
  let server = await run();

  const nats: TestNats = {
    kind: "local",
    url: `nats://${host}:${port}`,
    storeDir,
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
      await removeStore?.();
      await rm(folder, { recursive: true, force: true });
    },
  };
  return nats;
}

/** The nats-server itself, or a script beside its configuration that runs it in its namespace. */
async function programFor({ namespace }: TestNatsSpec, folder: string): Promise<string> {
  const binary = await localBinary();
  if (namespace === undefined) return binary;
  const script = join(folder, "nats-server");
  await writeFile(script, `#!/bin/sh\nexec ip netns exec ${namespace} ${binary} "$@"\n`);
  await chmod(script, 0o755);
  return script;
}
