import { setTimeout as delay } from "node:timers/promises";
import { HoldfastError } from "../internal/status/errors.ts";
import type { RoleContext } from "./role.ts";

const RETRY_MS = 1_000;

/**
 * Does what a start needs of NATS again until it is answered. A cluster that is choosing leaders
 * answers late or not at all, and a role that ended for that would have to be started by hand.
 */
export async function untilAnswered<T>(
  { log, signal }: Pick<RoleContext, "log" | "signal">,
  ask: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (reason) {
      const { code, message } = HoldfastError.from(reason);
      if (signal.aborted || (code !== "unavailable" && code !== "timeout")) throw reason;
      log.warn({ why: message }, "waiting for NATS");
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {});
  }
}
