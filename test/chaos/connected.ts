import type { Entry } from "./history.ts";

/** Device to the id of its connection. */
export type ConnectedDevices = Map<string, string>;

/** The truth about who is connected: what the clients themselves wrote down last. */
export function connectedAtTheEnd(history: readonly Entry[]): ConnectedDevices {
  const connected: ConnectedDevices = new Map();
  for (const entry of history) {
    if (entry.did === "online") connected.set(entry.device, entry.connection);
    else if (entry.did === "offline") connected.delete(entry.device);
  }
  return connected;
}

/** Every device that was ever connected. */
export function devicesSeen(history: readonly Entry[]): string[] {
  const devices = new Set<string>();
  for (const entry of history) if (entry.did === "online") devices.add(entry.device);
  return [...devices];
}
