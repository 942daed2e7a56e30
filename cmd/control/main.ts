import { Apps } from "../../internal/auth/apps.ts";
import { Revocations } from "../../internal/auth/revocations.ts";
import { SigningKeys } from "../../internal/auth/signing-keys.ts";
import { TokenIssuer } from "../../internal/auth/token-issuer.ts";
import { TokenVerifier } from "../../internal/auth/token-verifier.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import { admitByGet } from "../../internal/control/admit-get.ts";
import { Canaries } from "../../internal/control/canary.ts";
import { Dispatch } from "../../internal/control/dispatch.ts";
import { Operator } from "../../internal/control/operator.ts";
import { NodeOrders } from "../../internal/control/orders.ts";
import { controlDoorkeeper, controlRoutes, quickCalls } from "../../internal/control/service.ts";
import type { HttpHandler } from "../../internal/http/handler.ts";
import { notFound, startHttpServer } from "../../internal/http/server.ts";
import { takesConnections } from "../../internal/nodes/address.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { announceListening } from "../../internal/observe/logger.ts";
import { openBus } from "../bus.ts";
import { ensureDemoApp } from "../demo-app.ts";
import { untilAnswered } from "../patience.ts";
import { forRole, type RoleContext, type RunningApi } from "../role.ts";

/** A node that is silent for longer is given out no more. */
const SILENCE_MS = 3_000;

/** `pages`: what the console port serves besides the API. */
export async function runControl(parent: RoleContext, pages?: HttpHandler): Promise<RunningApi> {
  const context = forRole("control", parent);
  const { config, log } = context;
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("control", context));
  const apps = started.use(await Apps.follow(bus.bucket("hf_app")));
  await untilAnswered(context, () => ensureDemoApp(apps, config));
  const messages = new NatsMessages(bus.connection);
  const nodes = started.use(new NodeRegistry({ messages, silenceMs: SILENCE_MS }));
  const canaries = started.use(await Canaries.follow(bus.bucket("hf_meta")));
  const ready = () =>
    bus.connection.link.connected && nodes.list().some((beat) => takesConnections({ beat }));
  const keys = started.use(await SigningKeys.follow(bus.bucket("hf_key")));
  await untilAnswered(context, () => keys.ensure());
  const revocations = started.use(await Revocations.follow(bus.bucket("hf_revoked")));
  const options = {
    apps,
    keys,
    issuer: new TokenIssuer(keys),
    verifier: new TokenVerifier({ keys, apps, revocations }),
    revoked: bus.bucket("hf_revoked"),
    operator: new Operator(config.adminKey ?? config.operatorKey ?? config.devKey),
    orders: new NodeOrders(nodes, messages),
    canaries,
    dispatch: new Dispatch({ nodes, canaries, clock: systemClock, random: Math.random }),
    clock: systemClock,
    tokenSeconds: config.tokenSeconds,
    heartbeatSeconds: config.heartbeatSeconds,
  };
  warnOfOpenApps(apps, context);
  const server = started.use(
    await startHttpServer({
      listen: config.controlListen,
      routes: controlRoutes(options),
      quick: quickCalls(options),
      doorkeeper: controlDoorkeeper(options),
      ready,
      log,
      origins: "any",
      pages: admitByGet(options, pages ?? notFound),
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

const LOOPBACK = /^(127\.|::1$|localhost$)/;

/** An app that anybody is admitted to as anybody is for trying things, on the machine itself. */
function warnOfOpenApps(apps: Apps, { config, log }: RoleContext): void {
  if (LOOPBACK.test(config.controlListen.host)) return;
  const open = apps.list().filter(({ record }) => record.admission === "open");
  if (open.length === 0) return;
  log.warn(
    { apps: open.map(({ app }) => app), address: config.controlListen },
    "ANYBODY who reaches this address is admitted to these apps as anybody: holdfast app set <app> --admission key",
  );
}
