import { acquireNatsServer, defaultCacheDir } from "../internal/nats-server/acquire.ts";
import { type EmbeddedNats, startEmbeddedNats } from "../internal/nats-server/embedded.ts";
import { announceListening } from "../internal/observe/logger.ts";
import { forRole, type RoleContext } from "./role.ts";

/** Finds or fetches nats-server and runs it beside this process. */
export async function startEmbedded(parent: RoleContext): Promise<EmbeddedNats> {
  const { config, log } = forRole("nats", parent);
  const found = await acquireNatsServer({
    explicit: config.natsServer,
    searchPath: process.env.PATH ?? "",
    cacheDir: defaultCacheDir(process.env),
    onProgress: (message) => log.info(message),
  });
  log.info({ version: found.version, source: found.source }, "nats-server");
  const nats = await startEmbeddedNats({
    dataDir: config.dataDir,
    binary: found.path,
    onEvent: (event) => {
      if (event.kind === "log") log.debug(event.line);
      else log.warn(event, "embedded nats-server");
    },
  });
  announceListening(log, { transport: "nats", address: nats.url });
  return nats;
}
