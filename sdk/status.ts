import type { ConnectionState } from "./connection-state.ts";
import type { HoldfastSdkError } from "./error.ts";

/** What an application sees of the connection's state. */
export type Status =
  /** On the way: getting a token, connecting, logging in. */
  | { readonly state: "connecting" }
  | {
      readonly state: "online";
      readonly connectionId: string;
      readonly node: string;
      readonly url: string;
      /** True when it continues an earlier connection. */
      readonly resumed: boolean;
      readonly heartbeatMs: number;
    }
  /** The SDK tries again after this time, by itself. */
  | { readonly state: "waiting"; readonly delayMs: number; readonly cause: HoldfastSdkError }
  /** For good. */
  | { readonly state: "closed"; readonly cause: HoldfastSdkError };

export function statusOf(state: ConnectionState): Status {
  switch (state.name) {
    case "online": {
      const { connectionId, node, resumed, heartbeatMs } = state.session;
      return { state: "online", connectionId, node, url: state.url, resumed, heartbeatMs };
    }
    case "waiting":
      return { state: "waiting", delayMs: state.delayMs, cause: state.cause };
    case "closed":
      return { state: "closed", cause: state.cause };
    default:
      return { state: "connecting" };
  }
}

/** Whether an application should hear of the change. A new connection id on the same link is none. */
export function statusChanged(before: ConnectionState, after: ConnectionState): boolean {
  if (after.name === "online") return before.name !== "online" || before.id !== after.id;
  if (after.name === "waiting" || before.name === "idle") return true;
  return statusOf(before).state !== statusOf(after).state;
}
