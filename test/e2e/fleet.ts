/** Devices of the failover tests: each logs in at a chosen access node and keeps what it was told. */

import type { ShownDevice } from "../support/api.ts";
import { type ClientOptions, connectClient, type TestClient } from "../support/client.ts";
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
    names.map(async (name): Promise<FleetDevice> => {
      const { token } = await admit(controlUrl, name);
      const options: ClientOptions = { url: wsUrl, encoding: "proto" };
      const client = await connectClient(options);
      client.send({ login: { token } });
      const { connectionId, node } = await client.next("welcome");
      const device = { name, client, connectionId, node, ended: false };
      void client.ended.then(() => {
        device.ended = true;
      });
      return device;
    }),
  );
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
