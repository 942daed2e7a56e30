export interface ServerSettings {
  readonly serverName: string;
  /** The address to listen on. Default: loopback. */
  readonly host?: string;
  readonly port: number;
  readonly storeDir: string;
  /** What JetStream may take of the disk. Default: what the server finds. */
  readonly maxStoreBytes?: number;
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
  };
}
