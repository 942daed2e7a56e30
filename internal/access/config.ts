import type { AdmissionLimits } from "../transport/admission.ts";
import type { TlsOptions } from "../transport/transport.ts";

/** What an access node is told by its operator. */
export interface AccessConfig {
  websocket: ClientAddress;
  tcp: ClientAddress;
  /** For both; undefined: neither is encrypted. */
  tls: TlsOptions | undefined;
  /** Web origins that may connect; empty: all. */
  origins: readonly string[];
  /** Several processes share the ports. */
  reusePort: boolean;
  /** Of the deployment. */
  partitions: number;
  /** How often a client in the foreground pings. */
  heartbeatSeconds: number;
  maxFrameBytes: number;
  admission: Partial<AdmissionLimits>;
  /** Over how long a stop sends clients elsewhere before it closes those who are left. Unset: not at all. */
  drainMs?: number;
  /** What Admit chooses nodes by. */
  dispatch?: { labels: Readonly<Record<string, string>>; weight: number };
}

export interface ClientAddress {
  host: string;
  /** 0: a free one. */
  port: number;
  /** What clients are told to connect to; undefined: the address that is listened on. */
  url: string | undefined;
}
