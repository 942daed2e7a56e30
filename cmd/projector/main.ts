import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import { NatsLogReader } from "../../internal/bus/log-reader.ts";
import { NatsMailbox } from "../../internal/bus/mailbox.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsReceipts } from "../../internal/bus/receipts.ts";
import { NatsStreams } from "../../internal/bus/streams.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { exposeNumbers } from "../../internal/observe/metrics.ts";
import { Retention } from "../../internal/projector/retention.ts";
import { Projector } from "../../internal/projector/service.ts";
import { WorkerHeartbeat } from "../../internal/projector/worker-heartbeat.ts";
import { incarnationOf } from "../../streams/connection-id.ts";
import { defaultNodeName } from "../access/node-name.ts";
import { openBus } from "../bus.ts";
import { forRole, type RoleContext, type Running } from "../role.ts";

export async function runProjector(parent: RoleContext): Promise<Running> {
  const context = forRole("projector", parent);
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("projector", context));
  const { connection, deployment } = bus;
  const { nodeName } = context.config;
  const id = incarnationOf(nodeName ?? defaultNodeName(), Date.now());
  const heartbeat = started.use(
    new WorkerHeartbeat({ ...bus.access, name: `holdfast projector heartbeat ${id}` }, (why) =>
      context.log.warn({ why }, "heartbeat"),
    ),
  );
  const state = bus.appender("connection state");
  const mail = bus.appender("the mailbox");
  const projector = started.use(
    new Projector({
      id,
      partitions: deployment.partitions,
      clock: systemClock,
      log: context.log,
      appender: bus.appender("the log"),
      state: new LinedAppender(state),
      held: [state, mail],
      reader: new NatsLogReader(connection, deployment.logStreams),
      buckets: {
        route: bus.bucket("hf_route"),
        user: bus.bucket("hf_user"),
        lease: bus.bucket("hf_lease"),
        checkpoint: bus.bucket("hf_checkpoint"),
        snapshot: bus.bucket("hf_snapshot"),
      },
      delivery: {
        mailbox: await NatsMailbox.open(connection, {
          appender: mail,
          partitions: deployment.partitions,
        }),
        receipts: started.use(new NatsReceipts(connection, bus.appender("receipts"))),
        marks: bus.bucket("hf_mailbox"),
      },
      messages: new NatsMessages(connection),
      link: connection.link,
      heartbeat,
    }),
  );
  await projector.start();
  started.use(
    await Retention.start({
      streams: await NatsStreams.open(connection),
      buckets: {
        checkpoint: bus.bucket("hf_checkpoint"),
        app: bus.bucket("hf_app"),
        business: bus.bucket("hf_business"),
      },
      appender: bus.appender("retention"),
      clock: systemClock,
      random: Math.random,
      link: connection.link,
      log: context.log,
      partitions: deployment.partitions,
      logStreams: deployment.logStreams,
      owns: (partition) => projector.owned.some((owned) => owned.partition === partition),
    }),
  );
  exposeNumbers(context.registry, "projector", {
    gauges: () => ({
      partitions: projector.owned.length,
      backlog: projector.backlog,
      lagMs: projector.lagMs,
      ...projector.deliveryGauges,
    }),
    counters: () => ({ ...projector.counters, ...projector.ownership }),
  });
  const ready = () => projector.ready;
  const running = started.move();
  return { ready, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
