import type { ShownDevice } from "../support/api.ts";
import { connectedAtTheEnd, devicesSeen } from "./connected.ts";
import type { Entry } from "./history.ts";

/** What is wrong with the routes of the devices in the histories, a line each. */
export function checkRoutes(history: readonly Entry[], shown: readonly ShownDevice[]): string[] {
  const connected = connectedAtTheEnd(history);
  const byDevice = new Map(shown.map((device) => [device.device, device]));
  return devicesSeen(history).flatMap((device) => {
    const problem = routeProblem(connected.get(device), byDevice.get(device));
    return problem === undefined ? [] : [`${device}: ${problem}`];
  });
}

function routeProblem(connection: string | undefined, shown: ShownDevice | undefined) {
  if (shown === undefined) return "has no route";
  const { online = false, connectionId = "", node = "" } = shown;
  if (connection === undefined) {
    return online ? `is not connected, but shown online as ${connectionId}` : undefined;
  }
  if (!online) return `is connected as ${connection}, but shown offline`;
  if (connectionId !== connection) {
    return `is connected as ${connection}, but shown as ${connectionId}`;
  }
  return connection.startsWith(`${node}.`)
    ? undefined
    : `is connected as ${connection}, but shown at node ${node}`;
}
