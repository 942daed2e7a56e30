import type { Registry } from "prom-client";
import type { Config } from "../internal/config/options.ts";
import type { Logger } from "../internal/observe/logger.ts";

/** What every role is given. */
export interface RoleContext {
  config: Config;
  log: Logger;
  /** For the process's metrics. */
  registry: Registry;
  /** Aborted when the process is asked to stop. */
  signal: AbortSignal;
}

export interface Running extends AsyncDisposable {
  ready(): boolean;
}

/** A role with an API. */
export interface RunningApi extends Running {
  /** As "http://127.0.0.1:8090". */
  readonly url: string;
  /** Takes no more calls, and resolves when those under way have ended. Disposal begins with it. */
  drain(): PromiseLike<void>;
}

/** Starts a role; what it resolves to is disposed of at the end. */
export type Role = (context: RoleContext) => Promise<Running>;

/** The same, with the role's name in every line it logs. */
export function forRole(role: string, context: RoleContext): RoleContext {
  return { ...context, log: context.log.child({ role }) };
}
