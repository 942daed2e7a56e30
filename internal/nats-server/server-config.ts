import type { Permissions } from "./permissions.ts";

export interface ServerSettings {
  readonly serverName: string;
  /** The address to listen on. Default: loopback. */
  readonly host?: string;
  readonly port: number;
  readonly storeDir: string;
  /** What JetStream may take of the disk. Default: what the server finds. */
  readonly maxStoreBytes?: number;
  /** Default: whoever reaches it may do everything. */
  readonly users?: readonly ServerUser[];
  /** The user that those are who name none. Default: they are refused, when there are users. */
  readonly noAuthUser?: string;
}

export interface ServerUser {
  readonly user: string;
  /** As it is, or its bcrypt hash. */
  readonly password: string;
  /** Default: everything. */
  readonly permissions?: Permissions;
}

/**
 * The configuration of one nats-server. What is not named stays off: monitoring, MQTT, WebSocket,
 * leaf nodes. Written as JSON, which nats-server's own format accepts and which quotes any path.
 */
export function serverConfig(settings: ServerSettings): Record<string, unknown> {
  return {
    server_name: settings.serverName,
    host: settings.host ?? "127.0.0.1",
    port: settings.port,
    max_payload: 1024 * 1024,
    // The default flushes every two minutes: too much to lose when the machine loses power.
    jetstream: {
      store_dir: settings.storeDir,
      sync_interval: "1s",
      ...(settings.maxStoreBytes !== undefined && { max_file_store: settings.maxStoreBytes }),
    },
    // Of the global account, where the streams of a server without users are.
    ...(settings.users !== undefined && { authorization: { users: settings.users } }),
    ...(settings.noAuthUser !== undefined && { no_auth_user: settings.noAuthUser }),
  };
}
