/** What every role opens first: NATS, laid out as the roles expect it. */
import { NatsAppender } from "../internal/bus/appender.ts";
import { NatsBucket } from "../internal/bus/bucket.ts";
import { type Connection, connect } from "../internal/bus/connect.ts";
import type { Bucket } from "../internal/bus/contract.ts";
import { readDeployment } from "../internal/bus/deployment.ts";
import { reconcile } from "../internal/bus/reconcile.ts";
import { bytesText, planDeployment } from "../internal/bus/store-room.ts";
import { type Config, envName, flagName } from "../internal/config/options.ts";
import type { Logger } from "../internal/observe/logger.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import type { BucketName } from "../streams/layout.ts";
import type { Deployment } from "../streams/records.ts";
import { type NatsAccess, natsAccess } from "./nats-access.ts";
import { untilAnswered } from "./patience.ts";
import type { RoleContext } from "./role.ts";

const FIRST = { partitions: 16, logStreams: 1, replicas: 1 };

export interface Bus extends AsyncDisposable {
  readonly connection: Connection;
  readonly deployment: Deployment;
  /** How other connections to the same NATS are opened. */
  readonly access: NatsAccess;
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
  const access = await natsAccess(config, urls);
  await using owned = new AsyncDisposableStack();
  const another = async (name: string) => {
    const events = {
      waiting: (why: HoldfastError) => log.warn({ why: why.message }, "waiting for NATS"),
      fault: (error: HoldfastError) => log.error({ err: error }, "NATS"),
    };
    const { nodeName } = config;
    const full = nodeName === undefined ? `holdfast ${name}` : `holdfast ${name} ${nodeName}`;
    const connection = await connect({ ...access, name: full, events, signal: context.signal });
    followLink(connection, log.child({ connection: name }), context.signal);
    return connection;
  };
  const connection = owned.use(await another(role));
  const deployment = await untilAnswered(context, () => layOut(connection, config, log));
  const open = owned.move();
  return {
    connection,
    deployment,
    access,
    another: async (name) => open.use(await another(name)),
    bucket: (name) => new NatsBucket(connection, name),
    appender: (what) => open.use(createAppender(connection, what, log)),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/**
 * The first start sets the deployment up from its options. Every later one takes it as it is, whatever
 * its own options say: a role that was started without them must not change what all the others use.
 */
async function layOut(connection: Connection, config: Config, log: Logger): Promise<Deployment> {
  const { nc } = connection;
  const found = await readDeployment(nc);
  const wanted = found === undefined ? await firstDeployment(connection, config, log) : found;
  const { partitions = wanted.partitions } = config;
  const logStreams = Math.min(config.logStreams ?? wanted.logStreams, partitions);
  const { deployment, created, changed, differing } = await reconcile(nc, {
    ...wanted,
    partitions,
    logStreams,
  });
  if (created.length > 0) log.info({ created }, "streams created");
  if (changed.length > 0) log.info({ changed }, "streams changed");
  for (const ignored of ignoredOptions(config, deployment)) log.warn(ignored);
  if (differing.length > 0) {
    log.warn(
      { differing },
      'streams are not as the deployment has them; "holdfast deployment set --yes" makes them so',
    );
  }
  return deployment;
}

async function firstDeployment(
  { nc }: Connection,
  config: Config,
  log: Logger,
): Promise<Deployment> {
  const { partitions = FIRST.partitions, replicas = FIRST.replicas } = config;
  const logStreams = Math.min(config.logStreams ?? FIRST.logStreams, partitions);
  const { storeMaxBytes, logMaxBytes } = config;
  const setup = { partitions, logStreams, replicas, storeMaxBytes, logMaxBytes };
  try {
    const { deployment, wantsBytes, room } = await planDeployment(nc, setup);
    const [wants, has] = [bytesText(wantsBytes), bytesText(room.bytes)];
    const there = room.atLeast ? `at least ${has}` : has;
    log.info(
      { wantsBytes, roomBytes: room.bytes, replicas },
      `store: the streams want up to ${wants} of each server; there are ${there} not reserved`,
    );
    return deployment;
  } catch (reason) {
    // Another start has taken the room meanwhile, for the same streams.
    const found = await readDeployment(nc);
    if (found === undefined) throw reason;
    return found;
  }
}

/** What these options would have the deployment be that it is not, and how to make it so. */
function ignoredOptions(config: Config, deployment: Deployment): string[] {
  const options = ["replicas", "storeMaxBytes", "logMaxBytes"] as const;
  return options.flatMap((option) => {
    const [asked, is] = [config[option], deployment[option]];
    if (asked === undefined || asked === is) return [];
    const flag = flagName(option);
    return [
      `${flag} ${asked} (${envName(option)}) is not used: this deployment has ${is ?? "none"}. ` +
        `"holdfast deployment set ${flag} ${asked} --yes" would change it`,
    ];
  });
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
