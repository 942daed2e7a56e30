import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
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
import type { Clock } from "../clock/clock.ts";
import type { Offer } from "../nodes/pool.ts";
import { HoldfastError } from "../status/errors.ts";
import type { Dispatch } from "./dispatch.ts";

export interface AdmissionOptions {
  apps: Pick<Apps, "authorize" | "admitsAnyone" | "get">;
  issuer: TokenIssuer;
  /** Of tokens that apps sign themselves. */
  verifier: Pick<TokenVerifier, "verify">;
  dispatch: Pick<Dispatch, "choose">;
  clock: Clock;
  tokenSeconds: number;
  /** What clients are told before a node tells them. */
  heartbeatSeconds: number;
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
  const { apps, issuer, dispatch, clock, tokenSeconds, heartbeatSeconds } = options;
  const { app, device, user = "", client, rooms, businesses, labels, protocols } = request;
  const own = await whoAsks(options, request, bearer);

  const { offers, afterMs } = dispatch.choose({
    app,
    device,
    platform: client?.platform ?? "",
    appVersion: client?.appVersion ?? "",
    labels: own?.labels === undefined ? labels : { ...labels, ...own.labels },
    protocols,
    dispatch: apps.get(app)?.dispatch ?? "load",
  });
  if (offers.length === 0) {
    const what = protocols.length === 0 ? "" : ` that speaks ${protocols.join(" or ")}`;
    throw new HoldfastError(
      "unavailable",
      `no access node is live${what}; try again in some seconds`,
    );
  }
  const where = { endpoints: offers.map(endpointOf), afterMs, heartbeatSeconds };
  if (own !== undefined) {
    const expiresAt = timestampFromMs(own.expiresAtMs);
    return create(AdmitResponseSchema, { token: bearer ?? "", expiresAt, ...where });
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
    ...where,
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

function endpointOf({ address, weight }: Offer) {
  const { url, protocol, nodes } = address;
  return { url, protocol, weight, node: nodes[0]?.beat.incarnation ?? "" };
}
