import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { AdminService } from "../../proto/gen/holdfast/admin/v1/admin_pb.ts";
import {
  ControlService,
  DrainResponseSchema,
  UndrainResponseSchema,
} from "../../proto/gen/holdfast/control/v1/control_pb.ts";
import { bearerOf } from "../auth/bearer.ts";
import { type QuickCall, quickCall } from "../http/quick-call.ts";
import type { Doorkeeper } from "../http/rpc.ts";
import { type AdminOptions, createAdminService } from "./admin.ts";
import { type AdmissionOptions, admit, isToken } from "./admit.ts";
import { jsonOf } from "./admit-get.ts";

export type ControlOptions = AdmissionOptions & AdminOptions;

/** The control API on a Connect router. */
export function controlRoutes(options: ControlOptions): (router: ConnectRouter) => void {
  const { operator, orders } = options;
  return (router) => {
    router.service(ControlService, {
      admit: (request, { requestHeader }) => admit(options, request, bearerOf(requestHeader)),
      drain: ({ node, overSeconds }, context) => {
        operator.require(context);
        return create(DrainResponseSchema, { nodes: orders.drain(node, overSeconds) });
      },
      undrain: ({ node }, context) => {
        operator.require(context);
        return create(UndrainResponseSchema, { nodes: orders.undrain(node) });
      },
    });
    router.service(AdminService, createAdminService(options));
  };
}

/** Admit, without what connect-es does around it. */
export function quickCalls(options: ControlOptions): QuickCall[] {
  return [
    quickCall(ControlService.method.admit, async (request, header) =>
      jsonOf(await admit(options, request, bearerOf(header))),
    ),
  ];
}

/** Whose calls are read at all: Admit may need no key, but one that is given must be somebody's. */
export function controlDoorkeeper({
  apps,
  operator,
}: Pick<ControlOptions, "apps" | "operator">): Doorkeeper {
  return (call) => {
    if (call.method === ControlService.method.admit) {
      const key = bearerOf(call.requestHeader);
      // What a token says is checked with what the body says.
      if (key !== undefined && !isToken(key)) apps.recognize(key);
    } else {
      operator.require(call);
    }
  };
}
