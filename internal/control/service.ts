import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type Beat,
  type Order,
  OrderSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  type AdmitRequest,
  AdmitResponseSchema,
  ControlService,
  DrainResponseSchema,
  UndrainResponseSchema,
} from "../../proto/gen/holdfast/control/v1/control_pb.ts";
import { nodeControlSubject } from "../../streams/subjects.ts";
import type { Apps } from "../auth/apps.ts";
import { bearerOf } from "../auth/bearer.ts";
import type { TokenIssuer } from "../auth/tokens.ts";
import type { Messages } from "../bus/contract.ts";
import type { Clock, Random } from "../clock/clock.ts";
import type { Doorkeeper } from "../http/rpc.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { HoldfastError } from "../status/errors.ts";
import { type AccessPoint, chooseAccessPoints } from "./access-points.ts";
import { Turns } from "./turns.ts";

/** How long a drain spreads the closing of connections when the order does not say. */
const DRAIN_OVER_SECONDS = 60;

export interface ControlOptions {
  apps: Pick<Apps, "authorize" | "recognize" | "admitsAnyone">;
  issuer: TokenIssuer;
  nodes: NodeRegistry;
  messages: Messages;
  clock: Clock;
  random: Random;
  tokenSeconds: number;
  /** True for the key that may give orders to nodes. */
  isOperator: (key: string | undefined) => boolean;
}

/** The control API on a Connect router. */
export function controlRoutes(options: ControlOptions): (router: ConnectRouter) => void {
  const turns = new Turns(options.clock, options.random);
  return (router) => {
    router.service(ControlService, {
      admit: (request, context) => admit({ ...options, turns }, request, context),
      drain: (request, context) => {
        mustBeOperator(options, context);
        const overMs = (request.overSeconds ?? DRAIN_OVER_SECONDS) * 1000;
        const order = create(OrderSchema, { body: { case: "drain", value: { overMs } } });
        return create(DrainResponseSchema, { nodes: give(options, request.node, order) });
      },
      undrain: (request, context) => {
        mustBeOperator(options, context);
        const order = create(OrderSchema, { body: { case: "undrain", value: {} } });
        return create(UndrainResponseSchema, { nodes: give(options, request.node, order) });
      },
    });
  };
}

/** Whose calls are read at all: Admit may need no key, but one that is given must be somebody's. */
export function controlDoorkeeper({
  apps,
  isOperator,
}: Pick<ControlOptions, "apps" | "isOperator">): Doorkeeper {
  return ({ method, requestHeader }) => {
    if (method === ControlService.method.admit) {
      const key = bearerOf(requestHeader);
      if (key !== undefined) apps.recognize(key);
    } else if (method.parent === ControlService) {
      mustBeOperator({ isOperator }, { requestHeader });
    }
  };
}

async function admit(
  options: ControlOptions & { turns: Turns },
  request: AdmitRequest,
  context: HandlerContext,
) {
  const { apps, issuer, nodes, clock, random, tokenSeconds, turns } = options;
  const { app, device, user = "", client } = request;
  const key = bearerOf(context.requestHeader);
  // A key that is given must be right, also where none is needed.
  if (key !== undefined || !apps.admitsAnyone(app)) apps.authorize(app, key);

  const turn = turns.next(nodes.list().filter(takesConnections));
  const points = turn.nodes.flatMap(accessPointsOf);
  if (points.length === 0) {
    throw new HoldfastError("unavailable", "no access node is live; try again in some seconds");
  }
  const expiresAtMs = clock.now() + tokenSeconds * 1000;
  return create(AdmitResponseSchema, {
    token: await issuer.issue({ app, device, user }, expiresAtMs),
    expiresAt: timestampFromMs(expiresAtMs),
    endpoints: chooseAccessPoints(points, client?.platform ?? "", random),
    afterMs: turn.afterMs,
  });
}

/** Whether clients may be sent to the node. */
export function takesConnections(node: Beat): boolean {
  return node.serving && !node.draining;
}

function accessPointsOf(node: Beat): AccessPoint[] {
  return node.endpoints.map(({ url, protocol }) => ({
    node: node.incarnation,
    url,
    protocol,
    connections: node.connections,
  }));
}

function mustBeOperator(
  { isOperator }: Pick<ControlOptions, "isOperator">,
  { requestHeader }: Pick<HandlerContext, "requestHeader">,
): void {
  if (!isOperator(bearerOf(requestHeader))) {
    throw new HoldfastError("unauthenticated", "orders to nodes need the operator key");
  }
}

/** @returns the incarnations that were given the order. */
function give({ nodes, messages }: ControlOptions, node: string, order: Order): string[] {
  const found = nodes.find(node).map((beat) => beat.incarnation);
  if (found.length === 0)
    throw new HoldfastError("not-found", `node: no live node is called ${node}`);
  for (const incarnation of found) {
    messages.publish(nodeControlSubject(incarnation), toBinary(OrderSchema, order));
  }
  return found;
}
