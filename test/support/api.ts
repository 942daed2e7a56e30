/** The calls of the business API that tests make most, as JSON over HTTP. */
import { call, untilAvailable } from "./gateway.ts";

/** Fields with default values are left out in JSON. */
export interface ShownDevice {
  device: string;
  online?: boolean;
  known?: boolean;
  user?: string;
  node?: string;
  connectionId?: string;
  platform?: string;
  offlineReason?: string;
}

/** Exact or `unavailable`, for a moment: then it is asked again, as a business server would. */
export async function getDevices(
  pushUrl: string,
  devices: readonly string[],
): Promise<ShownDevice[]> {
  const method = "holdfast.directory.v1.DirectoryService/GetDevices";
  const answer = await untilAvailable("GetDevices", () =>
    call<{ devices: ShownDevice[] }>(pushUrl, method, { app: "demo", devices }),
  );
  return answer.devices;
}

/** The incarnations of the live access nodes. */
export async function listNodes(pushUrl: string): Promise<string[]> {
  const method = "holdfast.directory.v1.DirectoryService/ListNodes";
  const answer = await call<{ nodes?: { node: string }[] }>(pushUrl, method, { app: "demo" });
  return (answer.nodes ?? []).map(({ node }) => node);
}

export type PushTarget = "Devices" | "Users" | "Rooms" | "Zones";

export interface PushResult {
  target: string;
  status: string;
  reason?: string;
}

/** Pushes a text, and gives the result of each target. */
export async function push(
  pushUrl: string,
  to: PushTarget,
  targets: readonly string[],
  text: string,
  options: Record<string, unknown> = {},
): Promise<PushResult[]> {
  const method = `holdfast.push.v1.PushService/PushTo${to}`;
  const answer = await call<{ results: PushResult[] }>(pushUrl, method, {
    app: "demo",
    [to.toLowerCase()]: targets,
    message: { business: "test", text },
    options,
  });
  return answer.results;
}
