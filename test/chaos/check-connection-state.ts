import { type ConnectedDevices, connectedAtTheEnd } from "./connected.ts";
import type { Entry, SubscriberEntry } from "./history.ts";
import type { LostTail } from "./server-faults.ts";

export interface ConnectionStateVerdict {
  /** Online events that the subscriber saw. */
  online: number;
  offline: number;
  /** What is wrong, a line each. */
  problems: string[];
}

/**
 * What a subscriber of the connection-state subjects saw, against what the clients know: for each
 * device online and offline take turns, beginning with online, an offline names the connection of the
 * online before it, no connection comes online twice, and what is left online is what is connected.
 * Devices to which something happened that a server may have lost, because it acknowledges before it syncs, are left out.
 */
export function checkConnectionState(
  whole: readonly Entry[],
  lostTails: readonly LostTail[] = [],
): ConnectionStateVerdict {
  const history = withoutLost(whole, lostTails);
  const seen = history.filter(isSeen);
  const byDevice = Map.groupBy(seen, (event) => event.device);
  const problems: string[] = [];
  const left: ConnectedDevices = new Map();
  for (const [device, events] of byDevice) {
    const last = followDevice(device, events, problems);
    if (last !== undefined) left.set(device, last);
  }
  problems.push(...differences(left, connectedAtTheEnd(history)));
  const online = seen.filter((event) => event.did === "saw-online").length;
  return { online, offline: seen.length - online, problems };
}

function withoutLost(history: readonly Entry[], lostTails: readonly LostTail[]): readonly Entry[] {
  if (lostTails.length === 0) return history;
  const mayBeLost = ({ at = 0 }: Entry) =>
    lostTails.some(({ fromMs, toMs }) => at >= fromMs && at <= toMs);
  const touched = new Set(history.filter(mayBeLost).map(({ device }) => device));
  return history.filter(({ device }) => !touched.has(device));
}

function isSeen(entry: Entry): entry is SubscriberEntry {
  return entry.did === "saw-online" || entry.did === "saw-offline";
}

/** Returns the connection that is online after all events. */
function followDevice(
  device: string,
  events: readonly SubscriberEntry[],
  problems: string[],
): string | undefined {
  const before = new Set<string>();
  let present: string | undefined;
  for (const { did, connection } of events) {
    if (did === "saw-online") {
      if (present !== undefined) {
        problems.push(`${device}: ${connection} came online while ${present} was`);
      }
      if (before.has(connection)) problems.push(`${device}: ${connection} came online twice`);
      before.add(connection);
      present = connection;
    } else {
      if (present !== connection) {
        problems.push(
          `${device}: ${connection} went offline while ${present ?? "nothing"} was online`,
        );
      }
      present = undefined;
    }
  }
  return present;
}

function differences(seen: ConnectedDevices, connected: ConnectedDevices): string[] {
  const problems: string[] = [];
  for (const [device, connection] of connected) {
    const shown = seen.get(device);
    if (shown === undefined) problems.push(`${device}: is connected, but was left offline`);
    else if (shown !== connection) {
      problems.push(`${device}: is connected as ${connection}, but was left online as ${shown}`);
    }
  }
  for (const [device, connection] of seen) {
    if (!connected.has(device)) {
      problems.push(`${device}: is not connected, but ${connection} was left online`);
    }
  }
  return problems;
}
