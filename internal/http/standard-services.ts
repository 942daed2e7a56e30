/** What every port with services has beside them. Nobody needs a key for it. */
import type { DescService } from "@bufbuild/protobuf";
import { type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import { Health } from "../../proto/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../proto/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../proto/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createHealthService, type HealthOptions } from "./grpc-health.ts";
import { createReflectionServices } from "./grpc-reflection.ts";

export interface StandardServiceOptions extends Pick<HealthOptions, "ready" | "closing"> {
  /** The services that they tell of, beside themselves. */
  routes: (router: ConnectRouter) => void;
}

export function standardServices(options: StandardServiceOptions): (router: ConnectRouter) => void {
  const { routes, ready, closing } = options;
  const services = [...servicesOf(routes), Health, ServerReflection, ServerReflectionAlpha];
  const names = new Set(services.map(({ typeName }) => typeName));
  const reflection = createReflectionServices(services);
  return (router) => {
    router.service(Health, createHealthService({ services: names, ready, closing }));
    router.service(ServerReflection, reflection.v1);
    router.service(ServerReflectionAlpha, reflection.v1alpha);
  };
}

function servicesOf(routes: (router: ConnectRouter) => void): DescService[] {
  const router = createConnectRouter();
  routes(router);
  return [...new Set(router.handlers.map(({ service }) => service))];
}
