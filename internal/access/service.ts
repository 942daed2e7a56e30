/** The access role: listeners, sessions, and what connects them with the rest of the system. */
import { setTimeout as delay } from "node:timers/promises";
import type { Appender, Bucket, ChannelHistory, Messages } from "../bus/contract.ts";
import { type Clock, type Random, systemClock } from "../clock/clock.ts";
import { Wheel } from "../clock/wheel.ts";
import type { Logger } from "../observe/logger.ts";
import { Admission } from "../transport/admission.ts";
import { listenTcp } from "../transport/tcp.ts";
import type { Accept, Listener } from "../transport/transport.ts";
import { listenWebSocket } from "../transport/ws.ts";
import { BusUplinks } from "./bus-uplinks.ts";
import type { AccessConfig } from "./config.ts";
import type { ConnectionLog, ConnectionLogEvents } from "./connection-log.ts";
import { Gateway } from "./gateway.ts";
import { sessionLimits } from "./limits.ts";
import { LoopLoad } from "./loop-load.ts";
import type { AccessMetrics } from "./metrics.ts";
import type { NodeStatus } from "./node-log.ts";
import { PushIntake } from "./push-intake.ts";
import { Rooms } from "./rooms.ts";
import type { NodeServices, TokenVerifier } from "./services.ts";
import { SessionTable } from "./session-table.ts";
import { Uplinks } from "./uplinks.ts";

const OPEN_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 3_000;
/** How long a stop waits for clients to hang up, and then for the log to take their ends. */
const STOP_STEP_MS = 5_000;

export interface AccessAdapters {
  messages: Messages;
  /** A NATS connection of its own, for messages of high priority. */
  urgent: Messages;
  /** For uplinks. */
  appender: Appender;
  history: ChannelHistory;
  /** `hf_room`. */
  roomSettings: Bucket;
  verifier: TokenVerifier;
  /** Opens the node's side of the log. Each needs the other, so each is given what it needs. */
  openLog(events: ConnectionLogEvents, status: () => NodeStatus): ConnectionLog;
  clock?: Clock;
  random?: Random;
}

export interface AccessNode extends AsyncDisposable {
  readonly listeners: readonly Listener[];
  /** Logged-in connections. */
  readonly connections: number;
  /** Where clients connect to. */
  endpoints(): EndpointInit[];
  /** Whether it takes logins. */
  ready(): boolean;
}

type EndpointInit = NodeStatus["endpoints"][number];

/**
 * Starts listening. Disposal sends the clients elsewhere, and waits a while for them and the log.
 *
 * @throws HoldfastError when an address cannot be listened on.
 */
export async function createAccessNode(options: {
  config: AccessConfig;
  adapters: AccessAdapters;
  logger: Logger;
  metrics: AccessMetrics;
}): Promise<AccessNode> {
  const { config, adapters, logger, metrics } = options;
  const { messages, urgent, clock = systemClock, random = Math.random } = adapters;
  const listeners: Listener[] = [];
  const table = new SessionTable();
  const limits = sessionLimits(config);
  const load = new LoopLoad();
  const endpoints = () => listeners.map((listener) => endpointOf(listener, config));
  // The log calls back only once it runs, and by then `gateway` is there.
  const log = adapters.openLog(
    {
      incarnationChanged: (incarnation) => gateway.incarnationChanged(incarnation),
      order: (order) => gateway.order(order),
      isolated: () => gateway.isolated(),
    },
    () => ({ endpoints: endpoints(), draining: services.draining, load: load.take() }),
  );
  const forwarder = new BusUplinks(adapters.appender, messages);
  const uplinks = new Uplinks({ forwarder, clock, log, limits, metrics });
  const pushIntake = new PushIntake({ messages, urgent, table, metrics, logger });
  const { history, roomSettings: settings, verifier } = adapters;
  const rooms = await Rooms.open({ messages, history, settings, log, limits, metrics, logger });
  const wheel = new Wheel(clock);
  const services: NodeServices = {
    clock,
    random,
    wheel,
    limits,
    metrics,
    logger,
    verifier,
    log,
    table,
    rooms,
    uplinks,
    partitions: config.partitions,
    draining: false,
  };
  const gateway = new Gateway(services, pushIntake);
  pushIntake.listen(log.incarnation);

  const admission = new Admission(clock, config.admission);
  const accept: Accept = (transport) => gateway.accept(transport);
  const shared = {
    tls: config.tls,
    reusePort: config.reusePort,
    maxFrameBytes: config.maxFrameBytes,
    openTimeoutMs: OPEN_TIMEOUT_MS,
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
    admission,
    wheel,
  };
  const { websocket, tcp, origins } = config;
  const stack = new AsyncDisposableStack();
  stack.defer(() => {
    pushIntake.stop();
    rooms.stop();
    wheel.stop();
  });
  stack.defer(async () => {
    services.draining = true;
    gateway.endAll("going-away");
    await within(STOP_STEP_MS, () => admission.connections === 0);
    await Promise.race([log.settled(), delay(STOP_STEP_MS)]);
  });
  try {
    listeners.push(stack.use(await listenWebSocket({ ...shared, ...websocket, origins }, accept)));
    listeners.push(stack.use(await listenTcp({ ...shared, ...tcp }, accept)));
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
  log.start();
  return {
    listeners,
    endpoints,
    get connections() {
      return metrics.sessions;
    },
    ready: () => log.serving && !services.draining && !stack.disposed,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

function endpointOf({ protocol, url }: Listener, config: AccessConfig): EndpointInit {
  const told = protocol === "websocket" ? config.websocket.url : config.tcp.url;
  return { protocol, url: told ?? url };
}

/** Resolves when it holds, or the time is over. */
async function within(ms: number, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + ms;
  while (!holds() && performance.now() < deadline) await delay(20);
}
