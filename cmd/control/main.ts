import { timingSafeEqual } from "node:crypto";
import { Apps } from "../../internal/auth/apps.ts";
import { sha256 } from "../../internal/auth/sha256.ts";
import { TokenIssuer } from "../../internal/auth/tokens.ts";
import { NatsMessages } from "../../internal/bus/messages.ts";
import { systemClock } from "../../internal/clock/clock.ts";
import {
  controlDoorkeeper,
  controlRoutes,
  takesConnections,
} from "../../internal/control/service.ts";
import type { HttpHandler } from "../../internal/http/handler.ts";
import { startHttpServer } from "../../internal/http/server.ts";
import { NodeRegistry } from "../../internal/nodes/registry.ts";
import { announceListening } from "../../internal/observe/logger.ts";
import { openBus } from "../bus.ts";
import { ensureDemoApp } from "../demo-app.ts";
import { untilAnswered } from "../patience.ts";
import { forRole, type RoleContext, type RunningApi } from "../role.ts";

/** `pages`: what the console port serves besides the API. */
export async function runControl(parent: RoleContext, pages?: HttpHandler): Promise<RunningApi> {
  const context = forRole("control", parent);
  const { config, log } = context;
  await using started = new AsyncDisposableStack();
  const bus = started.use(await openBus("control", context));
  const apps = started.use(await Apps.follow(bus.bucket("hf_app")));
  await untilAnswered(context, () => ensureDemoApp(apps, config));
  const messages = new NatsMessages(bus.connection);
  const nodes = started.use(new NodeRegistry({ messages }));
  const ready = () => bus.connection.link.connected && nodes.list().some(takesConnections);
  const isOperator = operatorCheck(config.operatorKey ?? config.devKey);
  const server = started.use(
    await startHttpServer({
      listen: config.controlListen,
      routes: controlRoutes({
        apps,
        issuer: await untilAnswered(context, () => TokenIssuer.open(bus.bucket("hf_key"))),
        nodes,
        messages,
        clock: systemClock,
        random: Math.random,
        tokenSeconds: config.tokenSeconds,
        isOperator,
      }),
      doorkeeper: controlDoorkeeper({ apps, isOperator }),
      ready,
      log,
      origins: "any",
      ...(pages && { pages }),
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

/** Without a key there is no operator. */
function operatorCheck(operatorKey: string | undefined): (key: string | undefined) => boolean {
  if (operatorKey === undefined) return () => false;
  const wanted = sha256(operatorKey);
  return (key) => key !== undefined && timingSafeEqual(sha256(key), wanted);
}
