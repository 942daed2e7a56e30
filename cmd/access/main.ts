import { readFile } from "node:fs/promises";
import { setPriority } from "node:os";
import type { AccessConfig } from "../../internal/access/config.ts";
import { NodeLog } from "../../internal/access/log/node-log.ts";
import { newAccessMetrics } from "../../internal/access/metrics.ts";
import { createAccessNode } from "../../internal/access/service.ts";
import { Apps } from "../../internal/auth/apps.ts";
import { Revocations } from "../../internal/auth/revocations.ts";
import { SigningKeys } from "../../internal/auth/signing-keys.ts";
import { TokenVerifier } from "../../internal/auth/token-verifier.ts";
import { NatsChannelHistory } from "../../internal/bus/channel-history.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsNodeDeaths } from "../../internal/bus/node-deaths.ts";
import { NatsStreams } from "../../internal/bus/streams.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import type { Config } from "../../internal/config/options.ts";
import { announceListening } from "../../internal/observe/logger.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import { openBus } from "../bus.ts";
import { forRole, type RoleContext, type Running } from "../role.ts";
import { VERSION } from "../version.ts";
import { exposeAccessMetrics, exposeBusinesses } from "./metrics.ts";
import { defaultNodeName } from "./node-name.ts";
import { runWorkers } from "./workers.ts";

/** A third of the CPU of a process beside it, when both want all. */
const NICE = 5;

/** One access node, or with `--workers` several processes that share the ports. */
export function runAccess(context: RoleContext): Promise<Running> {
  const role = forRole("access", context);
  return role.config.workers > 1 ? runWorkers(role) : runNode(role);
}

/**
 * The same as the process's only role, at a lower priority than projectors and nats-server beside it. When
 * more clients come than can be served, accepting and refusing them takes all the CPU that it is given,
 * and what would let them in, the log and its fold, must not starve for that. Workers inherit it.
 */
export function runAccessAlone(context: RoleContext): Promise<Running> {
  try {
    setPriority(NICE);
  } catch {
    // A platform or a sandbox without priorities: all are equal, as before.
  }
  return runAccess(context);
}

async function runNode(context: RoleContext): Promise<Running> {
  const { config, log, registry } = context;
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("access", context));
  const urgent = await bus.another("access urgent");
  const { connection, deployment } = bus;
  const messages = new NatsMessages(connection);
  const logAppender = bus.appender("the log");
  const metrics = newAccessMetrics();
  const keys = started.use(await SigningKeys.follow(bus.bucket("hf_key")));
  const apps = started.use(await Apps.follow(bus.bucket("hf_app")));
  const revocations = started.use(await Revocations.follow(bus.bucket("hf_revoked")));
  const node = started.use(
    await createAccessNode({
      config: await accessConfig(config, deployment.partitions),
      adapters: {
        messages,
        urgent: new NatsMessages(urgent),
        appender: bus.appender("uplinks"),
        streams: await NatsStreams.open(connection),
        history: await NatsChannelHistory.open(connection),
        link: connection.link,
        roomSettings: bus.bucket("hf_room"),
        businesses: bus.bucket("hf_business"),
        verifier: new TokenVerifier({ keys, apps, revocations }),
        revocations,
        apps,
        openLog: (events, status) =>
          started.use(
            new NodeLog({
              name: config.nodeName ?? defaultNodeName(),
              version: VERSION,
              partitions: deployment.partitions,
              clock: systemClock,
              random: Math.random,
              appender: logAppender,
              messages,
              link: connection.link,
              deaths: new NatsNodeDeaths(connection, deployment.logStreams),
              isolatedAfterMs: config.isolationSeconds * 1_000,
              status,
              events,
            }),
          ),
      },
      logger: log,
      metrics,
    }),
  );
  exposeAccessMetrics(registry, metrics, { logAppender, doorway: node.doorway });
  exposeBusinesses(registry, node);
  for (const { protocol, url } of node.listeners) {
    announceListening(log, { transport: protocol, address: url });
  }
  const running = started.move();
  return { ready: () => node.ready(), [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function accessConfig(config: Config, partitions: number): Promise<AccessConfig> {
  const { tlsCert, tlsKey } = config;
  const tls =
    tlsCert === undefined || tlsKey === undefined
      ? undefined
      : { cert: await readPem("tlsCert", tlsCert), key: await readPem("tlsKey", tlsKey) };
  return {
    websocket: { ...config.wsListen, url: config.wsUrl },
    tcp: { ...config.tcpListen, url: config.tcpUrl },
    tls,
    origins: config.allowedOrigins,
    reusePort: config.sharePorts,
    partitions,
    heartbeatSeconds: config.heartbeatSeconds,
    maxFrameBytes: config.maxFrameBytes,
    drainMs: config.drainSeconds * 1_000,
    dispatch: { labels: config.labels, weight: config.weight },
    admission: {
      maxConnections: config.maxConnections,
      maxConnectionsPerAddress: config.maxConnectionsPerIp || Number.POSITIVE_INFINITY,
      connects: { perSecond: config.maxConnectsPerSecond, burst: config.maxConnectsPerSecond },
    },
  };
}

async function readPem(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new HoldfastError("invalid", `${option}: cannot read ${path}: ${cause}`, { cause });
  }
}
