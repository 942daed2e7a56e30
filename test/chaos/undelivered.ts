import { call } from "../support/gateway.ts";
import type { Entry, History } from "./history.ts";

/** The messages that were accepted and have been neither received nor reported expired, with their devices. */
export function undelivered(history: readonly Entry[]): Map<string, string[]> {
  const settled = new Set<string>();
  for (const entry of history) {
    if (entry.did === "received" || entry.did === "expired") {
      settled.add(`${entry.message} ${entry.device}`);
    }
  }
  const left = new Map<string, string[]>();
  for (const entry of history) {
    if (entry.did !== "accepted" || settled.has(`${entry.message} ${entry.device}`)) continue;
    left.set(entry.message, [...(left.get(entry.message) ?? []), entry.device]);
  }
  return left;
}

const METHOD = "holdfast.directory.v1.DirectoryService/GetMessage";
/** More than that are not a matter of time. */
const ASKED_AT_ONCE = 500;

/** Asks the gateway what became of these messages, and writes down which have expired. */
export async function noteExpired(
  pushUrl: string,
  messages: ReadonlyMap<string, readonly string[]>,
  history: History,
): Promise<void> {
  for (const [message, devices] of [...messages].slice(0, ASKED_AT_ONCE)) {
    const { deliveries = [] } = await call<{ deliveries?: { device: string; state?: string }[] }>(
      pushUrl,
      METHOD,
      { app: "demo", messageId: message },
    );
    for (const { device, state } of deliveries) {
      if (state === "EXPIRED" && devices.includes(device)) {
        history.append({ did: "expired", device, message });
      }
    }
  }
}
