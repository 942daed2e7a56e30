/** grpc.health.v1: what balancers and orchestrators ask a gRPC server. Beside it, health.ts has plain HTTP. */
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../proto/gen/grpc/health/v1/health_pb.ts";

/** How soon a watcher hears of a change. */
const LOOK_EVERY_MS = 200;

export interface HealthOptions {
  /** Full names of the services that are asked about; "", the server as a whole, is always there. */
  services: ReadonlySet<string>;
  ready: () => boolean;
  /** Aborted when the server begins to close: watchers hear it at once, and are let go. */
  closing: AbortSignal;
}

export function createHealthService(options: HealthOptions): ServiceImpl<typeof Health> {
  const { services, ready, closing } = options;
  const statusOf = (service: string) => {
    if (service !== "" && !services.has(service)) return ServingStatus.SERVICE_UNKNOWN;
    return ready() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  };
  return {
    check({ service }) {
      const status = statusOf(service);
      if (status === ServingStatus.SERVICE_UNKNOWN) {
        throw new ConnectError(`service: ${service} is not served here`, Code.NotFound);
      }
      return { status };
    },

    async *watch({ service }, { signal }) {
      const over = AbortSignal.any([signal, closing]);
      let told: ServingStatus | undefined;
      while (!signal.aborted) {
        const status = statusOf(service);
        if (status !== told) yield { status };
        told = status;
        if (closing.aborted) throw new ConnectError("the server is closing", Code.Unavailable);
        await delay(LOOK_EVERY_MS, undefined, { signal: over, ref: false }).catch(() => {});
      }
    },
  };
}
