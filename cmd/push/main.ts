import { Apps } from "../../internal/auth/apps.ts";
import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { NatsReceipts } from "../../internal/bus/receipts.ts";
import { NatsStreams } from "../../internal/bus/streams.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { announceListening } from "../../internal/observe/logger.ts";
import { exposeNumbers } from "../../internal/observe/metrics.ts";
import { createPush } from "../../internal/push/create.ts";
import { FullMailboxes } from "../../internal/push/full-mailboxes.ts";
import { Headroom } from "../../internal/push/headroom.ts";
import { Leases } from "../../internal/push/leases.ts";
import { openBus } from "../bus.ts";
import { ensureDemoApp } from "../demo-app.ts";
import { untilAnswered } from "../patience.ts";
import { forRole, type RoleContext, type RunningApi } from "../role.ts";

export async function runPush(parent: RoleContext): Promise<RunningApi> {
  const context = forRole("push", parent);
  const { config, log } = context;
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("push", context));
  const urgent = await bus.another("push urgent");
  const apps = started.use(await Apps.follow(bus.bucket("hf_app")));
  await untilAnswered(context, () => ensureDemoApp(apps, config));
  const messages = new NatsMessages(bus.connection);
  const push = createPush({
    messages,
    highMessages: new NatsMessages(urgent),
    link: bus.connection.link,
    buckets: {
      routes: bus.bucket("hf_route"),
      users: bus.bucket("hf_user"),
      rooms: bus.bucket("hf_room"),
      businesses: bus.bucket("hf_business"),
    },
    roomAppender: bus.appender("room messages"),
    logAppender: new LinedAppender(bus.appender("must-arrive messages")),
    receipts: started.use(new NatsReceipts(bus.connection, bus.appender("receipts"))),
    mailboxes: started.use(
      await FullMailboxes.follow(bus.bucket("hf_mailbox"), bus.deployment.partitions),
    ),
    leases: started.use(await Leases.follow(bus.bucket("hf_lease"))),
    headroom: new Headroom(
      await NatsStreams.open(bus.connection),
      bus.deployment.logStreams,
      systemClock,
    ),
    apps,
    nodes: started.use(new NodeRegistry({ messages })),
    partitions: bus.deployment.partitions,
  });
  const ready = () => push.ready();
  const { counters } = push;
  exposeNumbers(context.registry, "push", {
    counters: () => ({ calls: counters.calls, retries: counters.retries }),
  });
  const server = started.use(
    await startHttpServer({
      listen: config.pushListen,
      routes: push.routes,
      doorkeeper: push.doorkeeper,
      ready,
      log,
    }),
  );
  announceListening(log, { transport: "http", address: server.url });
  const running = started.move();
  return {
    ready,
    url: server.url,
    drain: () => server[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
