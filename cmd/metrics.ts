import type { Registry } from "prom-client";
import { answer, type HttpHandler, pathOf } from "../internal/http/handler.ts";
import { type HttpServer, startHttpServer } from "../internal/http/server.ts";
import { announceListening } from "../internal/observe/logger.ts";
import { HoldfastError } from "../internal/status/errors.ts";
import type { RoleContext } from "./role.ts";

/** Serves the process's metrics and health. */
export async function serveMetrics(
  context: RoleContext,
  ready: () => boolean,
): Promise<AsyncDisposable> {
  const server = await listen(context, ready);
  announceListening(context.log, { transport: "metrics", address: server.url });
  return server;
}

/** Several roles on one host find the port taken; metrics are no reason not to start. */
async function listen(context: RoleContext, ready: () => boolean): Promise<HttpServer> {
  const { config, log, registry } = context;
  const options = { routes: () => {}, ready, log, pages: metricsPage(registry) };
  try {
    return await startHttpServer({ ...options, listen: config.metricsListen });
  } catch (error) {
    log.warn({ why: HoldfastError.from(error).message }, "metrics go to a free port");
    return startHttpServer({ ...options, listen: { ...config.metricsListen, port: 0 } });
  }
}

function metricsPage(registry: Registry): HttpHandler {
  return async (request, response) => {
    if (pathOf(request) !== "/metrics") {
      answer(request, response, { status: 404, type: "text/plain", body: "see /metrics\n" });
      return;
    }
    const body = await registry.metrics();
    answer(request, response, { status: 200, type: registry.contentType, body });
  };
}
