/** The access role: listeners, sessions, and what connects them with the rest of the system. */
import { setTimeout as delay } from "node:timers/promises";
import type { Appender, Bucket, ChannelHistory, Link, Messages } from "../bus/contract.ts";
import { type Clock, type Random, systemClock } from "../clock/clock.ts";
import { Wheel } from "../clock/wheel.ts";
import type { Logger } from "../observe/logger.ts";
import { Admission } from "../transport/admission.ts";
import { listenTcp } from "../transport/tcp.ts";
import type { Accept, Listener } from "../transport/transport.ts";
import { listenWebSocket } from "../transport/ws.ts";
import type { AccessConfig } from "./config.ts";
import { Deliveries } from "./delivery/deliveries.ts";
import { PushIntake } from "./delivery/push-intake.ts";
import { Gateway } from "./gateway.ts";
import { sessionLimits } from "./limits.ts";
import { AckLog } from "./log/ack-log.ts";
import type { ConnectionLog, ConnectionLogEvents } from "./log/connection-log.ts";
import type { NodeStatus } from "./log/node-log.ts";
import { LoopLoad } from "./loop-load.ts";
import type { AccessMetrics } from "./metrics.ts";
import { RoomRulesView } from "./rooms/room-rules-view.ts";
import { Rooms } from "./rooms/rooms.ts";
import type { NodeState, TokenVerifier } from "./services.ts";
import { SessionTable } from "./session/session-table.ts";
import type { BusinessStatistics } from "./uplink/counters.ts";
import { Lanes } from "./uplink/lanes.ts";
import { Uplinks } from "./uplink/uplinks.ts";

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
  /** That of `messages`. */
  link: Link;
  /** `hf_room`. */
  roomSettings: Bucket;
  /** `hf_business`. */
  businesses: Bucket;
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
  /** The registered businesses, and what was counted for each. */
  businesses(): Iterable<BusinessStatistics>;
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
  const { messages, urgent, history, link, verifier } = adapters;
  const { clock = systemClock, random = Math.random } = adapters;
  const rules = await RoomRulesView.follow(adapters.roomSettings);
  const wheel = new Wheel(clock);
  const { businesses, appender } = adapters;
  const lanes = await Lanes.follow({ businesses, appender, messages, wheel, metrics, logger });

  const listeners: Listener[] = [];
  const state: NodeState = { draining: false };
  const load = new LoopLoad();
  const endpoints = () => listeners.map((listener) => endpointOf(listener, config));
  // The log may ask for the status at once. Events come in a later turn, when all below is there.
  const log = adapters.openLog(
    {
      incarnationChanged: (incarnation) => gateway.incarnationChanged(incarnation),
      order: (order) => gateway.order(order),
      isolated: () => gateway.isolated(),
    },
    () => ({ endpoints: endpoints(), draining: state.draining, load: load.take() }),
  );
  const table = new SessionTable();
  const limits = sessionLimits(config);
  const { partitions } = config;
  const known = { messages, history, link, rules };
  const rooms = new Rooms({ ...known, clock, wheel, limits, metrics, logger });
  const uplinks = new Uplinks({ lanes, clock, wheel, log, limits, metrics });
  const deliveries = new Deliveries();
  const acks = new AckLog({ log, deliveries, clock, metrics });
  const pushIntake = new PushIntake({
    messages,
    urgent,
    table,
    deliveries,
    clock,
    metrics,
    logger,
  });
  const own = { clock, random, wheel, limits, metrics, logger, partitions, state };
  const services = { ...own, verifier, log, table, rooms, deliveries, acks, uplinks };
  const gateway = new Gateway(services, state, pushIntake);
  pushIntake.listen(log.incarnation);

  const admission = new Admission(clock, config.admission);
  const accept: Accept = (transport) => gateway.accept(transport);
  // Undone from the last to the first.
  await using started = new AsyncDisposableStack();
  started.defer(() => {
    pushIntake.stop();
    acks.stop();
    rooms.stop();
    rules.stop();
    lanes[Symbol.dispose]();
    wheel.stop();
  });
  started.defer(async () => {
    state.draining = true;
    gateway.endAll("going-away");
    await within(STOP_STEP_MS, () => admission.connections === 0);
    await Promise.race([log.settled(), delay(STOP_STEP_MS, undefined, { ref: false })]);
  });
  for (const listening of listenersOf(config, { admission, wheel }, accept)) {
    listeners.push(started.use(await listening()));
  }
  const running = started.move();
  log.start();
  return {
    listeners,
    endpoints,
    get connections() {
      return metrics.sessions;
    },
    businesses: () => uplinks.businesses,
    ready: () => log.serving && !state.draining,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** What opens each listener. */
function listenersOf(
  config: AccessConfig,
  shared: { admission: Admission; wheel: Wheel },
  accept: Accept,
): (() => Promise<Listener>)[] {
  const { websocket, tcp, tls, reusePort, maxFrameBytes, origins } = config;
  const common = {
    ...shared,
    tls,
    reusePort,
    maxFrameBytes,
    openTimeoutMs: OPEN_TIMEOUT_MS,
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
  };
  return [
    () => listenWebSocket({ ...common, ...websocket, origins }, accept),
    () => listenTcp({ ...common, ...tcp }, accept),
  ];
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
