import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import {
  createInbox,
  credsAuthenticator,
  connect as dial,
  type NatsConnection,
  type NodeConnectionOptions,
} from "@nats-io/transport-node";
import { GATEWAY_INBOX_PREFIX } from "../../streams/subjects.ts";
import { compareVersions, MINIMUM_VERSION } from "../nats-server/version.ts";
import { HoldfastError } from "../status/errors.ts";
import { NatsLink } from "./link.ts";
import { apiErrorCode, isNoResponders, JS, natsError } from "./nats-errors.ts";
import { Outbound } from "./outbound.ts";
import { parseServers } from "./servers.ts";

export interface ConnectOptions {
  /** See `parseServers`. */
  urls: readonly string[];
  /** Shown in the server's connection list. */
  name: string;
  /** A file of NATS credentials; wins over user and password, and they over credentials in the URLs. */
  credsFile?: string | undefined;
  login?: NatsLogin | undefined;
  events: ConnectionEvents;
  /** Ends the waiting for a broker that is away. */
  signal?: AbortSignal;
}

export interface NatsLogin {
  readonly user: string;
  readonly password: string;
}

export interface ConnectionEvents {
  /** The broker is away at start: at the first failure, then about every 10 s. */
  waiting(why: HoldfastError): void;
  /** What nobody waits for went wrong: a callback threw, the server refused a subject. */
  fault(error: HoldfastError): void;
}

/** One connection to the broker that redials for ever. */
export interface Connection extends AsyncDisposable {
  readonly nc: NatsConnection;
  /** What is published goes this way. */
  readonly outbound: Outbound;
  readonly link: NatsLink;
  readonly events: ConnectionEvents;
  /** The largest message the server takes, headers included. */
  readonly maxPayload: number;
  /** A subject of its own for answers, where this connection's user may listen. */
  inbox(): string;
  /** Resolves when the connection has ended for good; with the reason when nobody asked for it. */
  readonly closed: Promise<Error | undefined>;
  /** Sends what was published, then closes. Does not wait for a broker that is away. */
  close(): Promise<void>;
}

const RETRY_MS = 1_000;
const REPORT_EVERY_MS = 10_000;
const DIAL_TIMEOUT_MS = 5_000;
const DRAIN_TIMEOUT_MS = 3_000;

/**
 * Opens a connection, waiting for a broker that is away.
 * @throws HoldfastError `unsupported` for a server that is too old or has no JetStream,
 *   `unauthenticated` for refused credentials, `invalid` for bad URLs or an unreadable credentials
 *   file, `unavailable` when `signal` ended the waiting.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const natsOptions = await optionsFor(options);
  let reportedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      return await connectOnce(natsOptions, options.events);
    } catch (reason) {
      const error = natsError("cannot use NATS", reason);
      if (error.code !== "unavailable" && error.code !== "timeout") throw error;
      if (performance.now() - reportedAt >= REPORT_EVERY_MS) {
        reportedAt = performance.now();
        options.events.waiting(error);
      }
    }
    await pause(options.signal);
  }
}

async function optionsFor(options: ConnectOptions): Promise<NodeConnectionOptions> {
  const { addresses, tls, credentials: named } = parseServers(options.urls);
  const { login } = options;
  const credentials = login ?? named;
  return {
    servers: addresses,
    name: options.name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    reconnectJitter: 500,
    timeout: DIAL_TIMEOUT_MS,
    pingInterval: 5_000,
    noAsyncTraces: true,
    // Once connected, refused credentials may be a broker that is being set up again.
    ignoreAuthErrorAbort: true,
    ...(tls && { tls: {} }),
    // One that the server keeps from those who name no user. Of users that others have set up we know none.
    ...(login && { inboxPrefix: GATEWAY_INBOX_PREFIX }),
    ...(credentials && "token" in credentials && { token: credentials.token }),
    ...(credentials && "user" in credentials && { user: credentials.user }),
    ...(credentials && "user" in credentials && { pass: credentials.password }),
    ...(options.credsFile && { authenticator: credsAuthenticator(await creds(options.credsFile)) }),
  };
}

async function creds(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new HoldfastError("invalid", `cannot read the NATS credentials: ${cause}`, { cause });
  }
}

async function connectOnce(
  natsOptions: NodeConnectionOptions,
  events: ConnectionEvents,
): Promise<Connection> {
  const nc = await dial(natsOptions);
  try {
    requireVersion(nc);
    await requireJetStream(nc);
    return connectionOf(nc, events, natsOptions.inboxPrefix);
  } catch (reason) {
    await nc.close();
    throw reason;
  }
}

function requireVersion(nc: NatsConnection): void {
  const version = /^\d+\.\d+\.\d+/.exec(nc.info?.version ?? "")?.[0];
  if (version === undefined || compareVersions(version, MINIMUM_VERSION) >= 0) return;
  throw new HoldfastError(
    "unsupported",
    `the NATS server at ${nc.getServer()} is version ${version}; ${MINIMUM_VERSION} or newer is needed`,
  );
}

async function requireJetStream(nc: NatsConnection): Promise<void> {
  try {
    await (await jetstreamManager(nc, { checkAPI: false })).getAccountInfo();
  } catch (reason) {
    // A server of a cluster whose JetStream is still starting does not answer either.
    const off = isNoResponders(reason) && nc.info?.jetstream !== true;
    const code = apiErrorCode(reason);
    if (off || code === JS.notEnabled || code === JS.notEnabledForAccount) {
      throw new HoldfastError(
        "unsupported",
        `the NATS server at ${nc.getServer()} has JetStream disabled (for this account)`,
        { cause: reason },
      );
    }
    throw reason;
  }
}

function connectionOf(
  nc: NatsConnection,
  events: ConnectionEvents,
  inboxPrefix: string | undefined,
): Connection {
  const link = new NatsLink(nc, (error) => events.fault(error));
  const outbound = new Outbound(nc);
  const closed = nc.closed().then((reason) => reason ?? undefined);
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= drain(nc, outbound, link);
    return closing;
  };
  const maxPayload = nc.info?.max_payload ?? 1024 * 1024;
  const inbox = () => createInbox(inboxPrefix);
  const shown = { nc, outbound, link, events, maxPayload, inbox };
  return { ...shown, closed, close, [Symbol.asyncDispose]: close };
}

async function drain(nc: NatsConnection, outbound: Outbound, link: NatsLink): Promise<void> {
  outbound.send();
  if (link.connected && !nc.isClosed()) {
    const patience = new AbortController();
    const tooLong = delay(DRAIN_TIMEOUT_MS, undefined, { signal: patience.signal });
    // Draining fails when the broker goes away meanwhile; then there is nothing to save.
    await Promise.race([nc.drain(), tooLong]).catch(() => {});
    patience.abort();
    await tooLong.catch(() => {});
  }
  await nc.close();
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(RETRY_MS, undefined, signal && { signal });
  } catch (cause) {
    throw new HoldfastError("unavailable", "stopped waiting for NATS", { cause });
  }
}
