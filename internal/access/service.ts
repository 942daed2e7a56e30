/** The access role: listeners, sessions, and what connects them with the rest of the system. */
import { setTimeout as delay } from "node:timers/promises";
import type { Apps } from "../auth/apps.ts";
import type { Revocations } from "../auth/revocations.ts";
import type { Appender, Bucket, ChannelHistory, Link, Messages, Streams } from "../bus/contract.ts";
import { type Clock, type Random, systemClock } from "../clock/clock.ts";
import { Wheel } from "../clock/wheel.ts";
import type { Logger } from "../observe/logger.ts";
import type { Entrance } from "../transport/acceptor.ts";
import { Admission } from "../transport/admission.ts";
import { SAMPLE_MS } from "../transport/door.ts";
import { Doorway } from "../transport/doorway.ts";
import { listenTcp } from "../transport/tcp.ts";
import type { Accept, Listener } from "../transport/transport.ts";
import { listenWebSocket } from "../transport/ws.ts";
import type { AccessConfig } from "./config.ts";
import { Deliveries } from "./delivery/deliveries.ts";
import { PushIntake } from "./delivery/push-intake.ts";
import { Gateway } from "./gateway.ts";
import { goodbye } from "./goodbye.ts";
import { sessionLimits } from "./limits.ts";
import { AckLog } from "./log/ack-log.ts";
import type { ConnectionLog, ConnectionLogEvents } from "./log/connection-log.ts";
import type { NodeStatus } from "./log/node-log.ts";
import { LoopLoad } from "./loop-load.ts";
import type { AccessMetrics } from "./metrics.ts";
import { OtherNodes } from "./other-nodes.ts";
import { OwnersLag } from "./owners-lag.ts";
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
  /** To see how much of their stream is taken. */
  streams: Pick<Streams, "state" | "sizeAt">;
  history: ChannelHistory;
  /** That of `messages`. */
  link: Link;
  /** `hf_room`. */
  roomSettings: Bucket;
  /** `hf_business`. */
  businesses: Bucket;
  verifier: TokenVerifier;
  /** Tell of revoked tokens and deleted apps, whose connections end. */
  revocations: Pick<Revocations, "listen">;
  apps: Pick<Apps, "onDeleted" | "get">;
  /** Opens the node's side of the log. Each needs the other, so each is given what it needs. */
  openLog(events: ConnectionLogEvents, status: () => NodeStatus): ConnectionLog;
  clock?: Clock;
  random?: Random;
}

export interface AccessNode extends AsyncDisposable {
  readonly listeners: readonly Listener[];
  /** Logged-in connections. */
  readonly connections: number;
  /** How it takes in those who come. */
  readonly doorway: Pick<Doorway, "coming" | "limit" | "parked" | "turnedAway">;
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
  const { businesses, appender, streams } = adapters;
  const uplink = { businesses, appender, streams, messages };
  const lanes = await Lanes.follow({ ...uplink, wheel, random, metrics, logger });

  const listeners: Listener[] = [];
  const state: NodeState = { draining: false };
  const load = new LoopLoad();
  const doorway = new Doorway(clock, random);
  const endpoints = () => listeners.map((listener) => endpointOf(listener, config));
  // The log may ask for the status at once. Events come in a later turn, when all below is there.
  const log = adapters.openLog(
    {
      incarnationChanged: (incarnation) => gateway.incarnationChanged(incarnation),
      order: (order) => gateway.order(order),
      isolated: () => gateway.isolated(),
      reunited: () => gateway.reunited(),
    },
    () => ({
      endpoints: endpoints(),
      draining: state.draining,
      load: load.take(),
      retryAfterMs: doorway.backlogMs,
      loginsPerSecond: doorway.perSecond,
      labels: { ...config.dispatch?.labels },
      weight: config.dispatch?.weight ?? 0,
      maxConnections: config.admission.maxConnections ?? 0,
      drainedFrom: state.drainedFrom ?? 0,
    }),
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
  const services = { ...own, verifier, log, table, rooms, deliveries, acks, uplinks, doorway };
  const gateway = new Gateway(
    services,
    state,
    pushIntake,
    () =>
      new OtherNodes({
        messages,
        clock,
        random,
        labels: config.dispatch?.labels ?? {},
        ownUrls: () => endpoints().map(({ url }) => url),
        asksAdmit: (app) => adapters.apps.get(app)?.dispatch === "device",
      }),
  );
  pushIntake.listen(log.incarnation);
  adapters.revocations.listen((event) => gateway.revoked(event));
  adapters.apps.onDeleted((app) => gateway.appDeleted(app));

  const admission = new Admission(clock, config.admission);
  const accept: Accept = (transport) => gateway.accept(transport);
  const ownersLag = new OwnersLag(messages, clock);
  const sampling = clock.every(SAMPLE_MS, () =>
    doorway.sample({ logAgeMs: log.oldestAgeMs, ownersLagMs: ownersLag.mostMs }),
  );
  /** As an order to drain, until nobody is left or the time is over. Nobody new is let in. */
  const leave = async (overMs: number) => {
    if (overMs === 0 || table.size === 0) return;
    gateway.drain(overMs);
    await within(overMs, () => table.size === 0);
  };
  // Undone from the last to the first.
  await using started = new AsyncDisposableStack();
  started.defer(() => {
    sampling.cancel();
    ownersLag.stop();
    gateway.stop();
    pushIntake.stop();
    acks.stop();
    rooms.stop();
    rules.stop();
    lanes[Symbol.dispose]();
    wheel.stop();
  });
  started.defer(async () => {
    await leave(config.drainMs ?? 0);
    state.draining = true;
    doorway.close();
    let ended = false;
    void gateway.endAll("going-away").then(() => {
      ended = true;
    });
    await within(STOP_STEP_MS, () => ended && admission.connections === 0);
    await Promise.race([log.settled(), pause(STOP_STEP_MS)]);
  });
  for (const listening of listenersOf(config, { admission, doorway, wheel }, accept)) {
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
    doorway,
    businesses: () => uplinks.businesses,
    ready: () => log.serving && !state.draining,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** What opens each listener. */
function listenersOf(
  config: AccessConfig,
  shared: Entrance,
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
    () => listenTcp({ ...common, ...tcp, goodbye }, accept),
  ];
}

function endpointOf({ protocol, url }: Listener, config: AccessConfig): EndpointInit {
  const told = protocol === "websocket" ? config.websocket.url : config.tcp.url;
  return { protocol, url: told ?? url };
}

function pause(ms: number): Promise<void> {
  return delay(ms, undefined, { ref: false });
}

/** Resolves when it holds, or the time is over. */
async function within(ms: number, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + ms;
  while (!holds() && performance.now() < deadline) await delay(20);
}
