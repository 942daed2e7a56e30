/** What the directory says of who is online. */
import { getDevices } from "../../support/api.ts";
import { call } from "../../support/gateway.ts";

/** The sum of ListNodes; undefined while nobody can tell. */
export async function connectionsShown(pushUrl: string): Promise<number | undefined> {
  const method = "holdfast.directory.v1.DirectoryService/ListNodes";
  type Answer = { nodes?: { connections?: number }[] };
  const answer = await call<Answer>(pushUrl, method, { app: "demo" }).catch(() => undefined);
  return answer?.nodes?.reduce((sum, { connections = 0 }) => sum + connections, 0) ?? (answer && 0);
}

/** What the API takes in one call. */
const DEVICES_A_CALL = 10_000;

export async function onlineOf(pushUrl: string, devices: readonly string[]): Promise<number> {
  let online = 0;
  for (let from = 0; from < devices.length; from += DEVICES_A_CALL) {
    const shown = await getDevices(pushUrl, devices.slice(from, from + DEVICES_A_CALL));
    online += shown.filter((device) => device.online).length;
  }
  return online;
}
