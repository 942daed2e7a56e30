import { randomUUID } from "node:crypto";
import { NatsLogReader } from "../../internal/bus/log-reader.ts";
import { NatsMailbox } from "../../internal/bus/mailbox.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsReceipts } from "../../internal/bus/receipts.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { exposeNumbers } from "../../internal/observe/metrics.ts";
import { Projector } from "../../internal/projector/service.ts";
import { openBus } from "../bus.ts";
import { forRole, type RoleContext, type Running } from "../role.ts";

export async function runProjector(parent: RoleContext): Promise<Running> {
  const context = forRole("projector", parent);
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("projector", context));
  const { connection, deployment } = bus;
  const projector = started.use(
    new Projector({
      id: randomUUID(),
      partitions: deployment.partitions,
      clock: systemClock,
      log: context.log,
      appender: bus.appender("the log"),
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
          appender: bus.appender("the mailbox"),
          partitions: deployment.partitions,
        }),
        receipts: new NatsReceipts(connection, bus.appender("receipts")),
        full: bus.bucket("hf_full"),
      },
      messages: new NatsMessages(connection),
      link: connection.link,
    }),
  );
  await projector.start();
  exposeNumbers(context.registry, "projector", {
    gauges: () => ({
      partitions: projector.owned.length,
      backlog: projector.backlog,
      lagMs: projector.lagMs,
      ...projector.deliveryGauges,
    }),
    counters: () => ({ ...projector.counters }),
  });
  const ready = () => projector.ready;
  const running = started.move();
  return { ready, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
