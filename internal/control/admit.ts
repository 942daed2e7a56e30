import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Beat } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  type AdmitRequest,
  type AdmitResponse,
  AdmitResponseSchema,
} from "../../proto/gen/holdfast/control/v1/control_pb.ts";
import { checkScope } from "../auth/api-keys.ts";
import type { Apps } from "../auth/apps.ts";
import type { VerifiedToken } from "../auth/claims.ts";
import type { TokenIssuer } from "../auth/token-issuer.ts";
import type { TokenVerifier } from "../auth/token-verifier.ts";
import type { Clock, Random } from "../clock/clock.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { HoldfastError } from "../status/errors.ts";
import { type AccessPoint, chooseAccessPoints } from "./access-points.ts";
import type { Turns } from "./turns.ts";

export interface AdmissionOptions {
  apps: Pick<Apps, "authorize" | "admitsAnyone">;
  issuer: TokenIssuer;
  /** Of tokens that apps sign themselves. */
  verifier: Pick<TokenVerifier, "verify">;
  nodes: NodeRegistry;
  clock: Clock;
  random: Random;
  tokenSeconds: number;
  turns: Turns;
}

/** A JWT has two dots; an API key of ours has one, and none is mistaken for the other's mistake. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/** Whether the bearer is a token that an app has signed, and not an API key. */
export function isToken(bearer: string): boolean {
  return JWT.test(bearer);
}

/**
 * Lets a device in, for whoever may say so: the app's server with an API key, the device itself with a
 * token that the app has signed, and anybody where the app is open.
 * @throws HoldfastError `unauthenticated`, `expired`, `forbidden`, `unavailable`
 */
export async function admit(
  options: AdmissionOptions,
  request: AdmitRequest,
  bearer: string | undefined,
): Promise<AdmitResponse> {
  const { issuer, nodes, clock, random, tokenSeconds, turns } = options;
  const { app, device, user = "", client, rooms, businesses, labels } = request;
  const own = await whoAsks(options, request, bearer);

  const turn = turns.next(nodes.list().filter(takesConnections));
  const points = turn.nodes.flatMap(accessPointsOf);
  if (points.length === 0) {
    throw new HoldfastError("unavailable", "no access node is live; try again in some seconds");
  }
  const endpoints = chooseAccessPoints(points, client?.platform ?? "", random);
  const { afterMs } = turn;
  if (own !== undefined) {
    const expiresAt = timestampFromMs(own.expiresAtMs);
    return create(AdmitResponseSchema, { token: bearer ?? "", expiresAt, endpoints, afterMs });
  }
  const expiresAtMs = clock.now() + tokenSeconds * 1_000;
  const grants = {
    ...(rooms.length > 0 && { rooms }),
    ...(businesses.length > 0 && { businesses }),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  return create(AdmitResponseSchema, {
    token: issuer.issue({ app, device, user }, expiresAtMs, grants),
    expiresAt: timestampFromMs(expiresAtMs),
    endpoints,
    afterMs,
  });
}

/** The token of the device itself, if it has one; undefined where a key or an open app lets it in. */
async function whoAsks(
  { apps, verifier }: AdmissionOptions,
  request: AdmitRequest,
  bearer: string | undefined,
): Promise<VerifiedToken | undefined> {
  const { app, device, user } = request;
  if (bearer !== undefined && isToken(bearer)) {
    const token = await verifier.verify(bearer);
    if (token.app !== app || token.device !== device || token.user !== user) {
      throw new HoldfastError("unauthenticated", "token: is for another app, device or user");
    }
    return token;
  }
  // A key that is given must be right, also where none is needed.
  if (bearer === undefined && apps.admitsAnyone(app)) return undefined;
  const { scope } = apps.authorize(app, bearer);
  checkScope(scope, { rpc: "Admit", targets: [user === "" ? device : user] });
  return undefined;
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
