/** What every role opens first: NATS, laid out as the roles expect it. */
import { NatsAppender } from "../internal/bus/appender.ts";
import { NatsBucket } from "../internal/bus/bucket.ts";
import { type Connection, connect } from "../internal/bus/connect.ts";
import type { Bucket } from "../internal/bus/contract.ts";
import { readDeployment } from "../internal/bus/deployment.ts";
import { reconcile } from "../internal/bus/reconcile.ts";
import type { Config } from "../internal/config/options.ts";
import type { Logger } from "../internal/observe/logger.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import type { BucketName } from "../streams/layout.ts";
import type { Deployment } from "../streams/records.ts";
import { untilAnswered } from "./patience.ts";
import type { RoleContext } from "./role.ts";

const FIRST_DEPLOYMENT: Deployment = { partitions: 16, logStreams: 1 };

export interface Bus extends AsyncDisposable {
  readonly connection: Connection;
  readonly deployment: Deployment;
  bucket(name: BucketName): Bucket;
  /** `what` is named when JetStream does not take its messages. */
  appender(what: string): NatsAppender;
  /** Another connection to the same NATS, closed together with this one. */
  another(name: string): Promise<Connection>;
}

/** Opens NATS for a role, waiting until it is there, and creates what is missing. */
export async function openBus(role: string, context: RoleContext): Promise<Bus> {
  const { config, log } = context;
  const { natsUrl: urls } = config;
  if (urls === undefined) {
    throw new HoldfastError(
      "invalid",
      `role ${role} needs --nats-url or HOLDFAST_NATS_URL; only "all" brings a NATS along`,
    );
  }
  await using owned = new AsyncDisposableStack();
  const another = async (name: string) => {
    const events = {
      waiting: (why: HoldfastError) => log.warn({ why: why.message }, "waiting for NATS"),
      fault: (error: HoldfastError) => log.error({ err: error }, "NATS"),
    };
    const { natsCreds: credsFile, nodeName } = config;
    const full = nodeName === undefined ? `holdfast ${name}` : `holdfast ${name} ${nodeName}`;
    const connection = await connect({
      urls,
      name: full,
      credsFile,
      events,
      signal: context.signal,
    });
    followLink(connection, log.child({ connection: name }), context.signal);
    return connection;
  };
  const connection = owned.use(await another(role));
  const deployment = await untilAnswered(context, () => layOut(connection, config, log));
  const open = owned.move();
  return {
    connection,
    deployment,
    another: async (name) => open.use(await another(name)),
    bucket: (name) => new NatsBucket(connection, name),
    appender: (what) => open.use(createAppender(connection, what, log)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

async function layOut(connection: Connection, config: Config, log: Logger): Promise<Deployment> {
  const found = (await readDeployment(connection.nc)) ?? FIRST_DEPLOYMENT;
  const partitions = config.partitions ?? found.partitions;
  const logStreams = Math.min(config.logStreams ?? found.logStreams, partitions);
  const { replicas, logMaxBytes } = config;
  const layout = { partitions, logStreams, replicas, logMaxBytes };
  const { created, changed } = await reconcile(connection.nc, layout);
  if (created.length > 0) log.info({ created }, "streams created");
  if (changed.length > 0) log.info({ changed }, "streams changed");
  return { partitions, logStreams };
}

function followLink({ link }: Connection, log: Logger, stopping: AbortSignal): void {
  link.watch((connected) => {
    if (stopping.aborted) return; // its end is ours
    if (connected) log.info("connected to NATS again");
    else log.warn("lost the connection to NATS");
  });
}

function createAppender(connection: Connection, what: string, log: Logger): NatsAppender {
  return new NatsAppender(connection, {
    stalled: (why) =>
      log.warn({ what, why: why.message }, "JetStream takes no messages; keeping them"),
    refused: (subject, why) => log.error({ what, subject, why: why.message }, "message dropped"),
  });
}
