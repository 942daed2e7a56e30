import type { Apps } from "../internal/auth/apps.ts";
import type { Config } from "../internal/config/options.ts";

export const DEMO_APP = "demo";

/** Where a key for it is set, there is an app to try things with. Any client is admitted to it. */
export async function ensureDemoApp(apps: Apps, { devKey }: Config): Promise<void> {
  if (devKey !== undefined) await apps.ensure(DEMO_APP, devKey, "open");
}
