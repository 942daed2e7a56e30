import { resolve } from "node:path";
import { acquireNatsServer, defaultCacheDir } from "../internal/nats-server/acquire.ts";
import { prepareDataFolder } from "../internal/nats-server/data-folder.ts";
import { type EmbeddedNats, startEmbeddedNats } from "../internal/nats-server/embedded.ts";
import { announceListening } from "../internal/observe/logger.ts";
import { forRole, type RoleContext } from "./role.ts";

/** Finds or fetches nats-server and runs it beside this process. */
export async function startEmbedded(parent: RoleContext): Promise<EmbeddedNats> {
  const { config, log } = forRole("nats", parent);
  // Before anything is fetched for it.
  await prepareDataFolder(resolve(config.dataDir));
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
    preferredPort: config.natsPort,
    storeMaxBytes: config.storeMaxBytes,
    onEvent: (event) => {
      if (event.kind === "log") log.debug(event.line);
      else if (event.kind === "port-taken") {
        log.warn(
          { port: event.wanted },
          "port is taken (HOLDFAST_NATS_PORT); NATS goes to another",
        );
      } else log.warn(event, "embedded nats-server");
    },
  });
  // Not in the address: clients for JavaScript are refused with it, see EmbeddedNats.url.
  const { user, password, url: address } = nats;
  announceListening(log, { transport: "nats", address, user, password });
  return nats;
}
