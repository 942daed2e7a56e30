import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../internal/config/options.ts";
import { makeFolder } from "../../internal/nats-server/data-folder.ts";
import { runAccess } from "../access/main.ts";
import { runControl } from "../control/main.ts";
import { startDemo } from "../demo.ts";
import { startEmbedded } from "../embedded-nats.ts";
import { runProjector } from "../projector/main.ts";
import { runPush } from "../push/main.ts";
import type { RoleContext, Running } from "../role.ts";

/** Every role in this process, and NATS beside it unless one is named. */
export async function runAll(context: RoleContext): Promise<Running> {
  await using started = new AsyncDisposableStack();
  const config = await completed(context, started);
  const complete = { ...context, config };

  const projector = started.use(await runProjector(complete));
  const push = started.use(await runPush(complete));
  const demo = config.demo ? started.use(await startDemo(complete, push.url)) : undefined;
  const control = started.use(await runControl(complete, demo?.pages));
  const access = started.use(await runAccess(complete));
  const ready = () => [projector, push, control, access].every((role) => role.ready());
  const running = started.move();
  return {
    ready,
    async [Symbol.asyncDispose]() {
      // All at once, so that no caller of the API waits for a client that does not hang up.
      await Promise.all([push.drain(), control.drain(), access[Symbol.asyncDispose]()]);
      await running.disposeAsync();
    },
  };
}

/** The configuration with the NATS and the key that `all` brings along. */
async function completed(context: RoleContext, started: AsyncDisposableStack): Promise<Config> {
  const { config } = context;
  if (config.natsUrl !== undefined) return config;
  const nats = started.use(await startEmbedded(context));
  const devKey = config.devKey ?? (await keptKey(config.dataDir, context));
  const { url, user: natsUser, password: natsPassword } = nats;
  return { ...config, natsUrl: [url], natsUser, natsPassword, devKey };
}

/** The key of app demo, made at the first start and kept. */
async function keptKey(dataDir: string, { log }: RoleContext): Promise<string> {
  const file = join(dataDir, "dev-key");
  const kept = await readFile(file, "utf8").catch(() => undefined);
  const devKey = kept?.trim() || randomBytes(18).toString("base64url");
  if (kept === undefined) {
    await makeFolder(dataDir);
    await writeFile(file, `${devKey}\n`, { mode: 0o600 });
  }
  // Not as a field of that name: those are redacted in every other line.
  log.info({ app: "demo", apiKey: devKey, file }, "API key of the demo app");
  return devKey;
}
