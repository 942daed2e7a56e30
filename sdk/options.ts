import { type Admit, admitByCallback, admitByHttp, type ClientInfo } from "./admission.ts";
import { type Backoff, DEFAULT_BACKOFF } from "./backoff.ts";
import type { DeliveryStore } from "./delivery-store.ts";
import { type Encoding, protoEncoding } from "./encoding.ts";
import { HoldfastSdkError } from "./error.ts";
import { checkId } from "./id.ts";
import type { PositionStore } from "./positions.ts";
import type { Transport } from "./transport.ts";
import { webSocket } from "./websocket.ts";

interface CommonOptions {
  /** What to say about this program. */
  client?: Partial<Omit<ClientInfo, "sdk">>;
  /** Ways to an access node, preferred first. Default: `[webSocket]`. */
  transports?: readonly Transport[];
  /** Default: binary. */
  encoding?: Encoding;
  /**
   * Remembers over restarts which must-arrive messages were handled. Without, a message that was
   * handled but not acknowledged comes once more after a restart.
   */
  deliveries?: DeliveryStore;
  /**
   * Remembers over restarts where this client stood in its rooms, so that what was sent meanwhile is
   * replayed where it is still kept. Without, a restarted application gets what comes from then on.
   */
  positions?: PositionStore;
  /**
   * Lets the gateway compress messages that come together. Default: true. A platform that cannot
   * decompress at once loads a module for it.
   */
  compression?: boolean;
  /** Waits between attempts to connect. Default: up to 0.5 s at first, at most 30 s. */
  backoff?: Backoff;
  /** For Admit, and for opening a connection. Default: 10 s. */
  connectTimeoutMs?: number;
  /** For the answer to the login, which the gateway gives within 20 s. Default: 30 s. */
  loginTimeoutMs?: number;
}

/** For apps that allow open admission: the SDK asks the gateway's control role itself. */
export interface OpenAdmissionOptions extends CommonOptions {
  /** The control role's URL, such as "https://control.example". */
  admit: string;
  app: string;
  device: string;
  user?: string;
}

/** For every other app: its own server calls Admit with the API key. */
export interface OwnAdmissionOptions extends CommonOptions {
  /** Gives the AdmitResponse as JSON: `{ token, expiresAt, endpoints: [{ url, weight }] }`. */
  admit: () => Promise<unknown>;
}

export type ConnectOptions = OpenAdmissionOptions | OwnAdmissionOptions;

export interface ResolvedOptions {
  admit: Admit;
  client: ClientInfo;
  transports: readonly Transport[];
  encoding: Encoding;
  backoff: Backoff;
  deliveries: DeliveryStore | undefined;
  positions: PositionStore | undefined;
  compression: boolean;
  connectTimeoutMs: number;
  loginTimeoutMs: number;
}

const SDK = "holdfast-js/0.1.0";
const CONNECT_TIMEOUT_MS = 10_000;
const LOGIN_TIMEOUT_MS = 30_000;

/** Throws HoldfastSdkError `invalid` naming the option. */
export function resolveOptions(options: ConnectOptions): ResolvedOptions {
  const client = { platform: platform(), ...options.client, sdk: SDK };
  const transports = options.transports ?? [webSocket];
  if (transports.length === 0) {
    throw new HoldfastSdkError("invalid", "transports: must not be empty", { final: true });
  }
  return {
    admit: resolveAdmit(options, client),
    client,
    transports,
    encoding: options.encoding ?? protoEncoding,
    backoff: options.backoff ?? DEFAULT_BACKOFF,
    deliveries: options.deliveries,
    positions: options.positions,
    compression: options.compression ?? true,
    connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    loginTimeoutMs: options.loginTimeoutMs ?? LOGIN_TIMEOUT_MS,
  };
}

function resolveAdmit(options: ConnectOptions, client: ClientInfo): Admit {
  if (!("app" in options)) return admitByCallback(options.admit);
  const { admit, app, device, user } = options;
  checkId("app", app);
  checkId("device", device);
  if (user !== undefined) checkId("user", user);
  return admitByHttp(admit, { app, device, ...(user === undefined ? {} : { user }), client });
}

function platform(): string {
  return "document" in globalThis ? "web" : "node";
}
