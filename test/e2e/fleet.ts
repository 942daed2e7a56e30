/** Devices of the failover tests: each logs in at a chosen access node and keeps what it was told. */

import { closeAction } from "../../sdk/close-code.ts";
import type { ShownDevice } from "../support/api.ts";
import { connectClient, type TestClient } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { admit } from "../support/gateway.ts";

export interface FleetDevice {
  readonly name: string;
  readonly client: TestClient;
  /** From the newest Welcome that was looked at. */
  connectionId: string;
  node: string;
  /** True when the connection is over. */
  ended: boolean;
}

/** Logs the devices in, all at the node with this address. */
export function connectFleet(
  controlUrl: string,
  wsUrl: string,
  names: readonly string[],
): Promise<FleetDevice[]> {
  return Promise.all(
    names.map(async (name) => {
      const { token } = await admit(controlUrl, name);
      return eventually(`${name} is logged in`, () => login(name, wsUrl, token));
    }),
  );
}

/** Undefined when the node takes no logins at present, as for a moment after NATS was away. */
async function login(name: string, url: string, token: string): Promise<FleetDevice | undefined> {
  const client = await connectClient({ url, encoding: "proto" }).catch(unlessRefused);
  if (client === undefined) return undefined;
  client.send({ login: { token } });
  const welcome = await client.next("welcome").catch((error) => {
    const [frame] = client.queue;
    if (frame?.case === "close" && closeAction(frame.value.code) === "reconnect") return;
    throw error;
  });
  if (welcome === undefined) return undefined;
  const { connectionId, node } = welcome;
  const device = { name, client, connectionId, node, ended: false };
  void client.ended.then(() => {
    device.ended = true;
  });
  return device;
}

/** Undefined for a node that takes no connections at present; throws any other error. */
function unlessRefused(error: Error): undefined {
  if (!/ECONNRESET|ECONNREFUSED|socket hang up|503/.test(error.message)) throw error;
}

/** `prefix1` to `prefix<count>`. */
export function deviceNames(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
}

/** What GetDevices should say of connected devices. */
export function shownOnline(devices: readonly FleetDevice[]): ShownDevice[] {
  return devices.map(({ name, connectionId, node }) => ({
    device: name,
    online: true,
    connectionId,
    node,
  }));
}

/** The parts of GetDevices' answer that say where a device is. */
export function whereabouts(shown: readonly ShownDevice[]): ShownDevice[] {
  return shown.map(({ device, online = false, connectionId = "", node = "" }) =>
    online ? { device, online, connectionId, node } : { device, online },
  );
}
