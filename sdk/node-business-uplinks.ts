/** Uplinks as the handlers of a business server see them. */
import { create } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  BusinessService,
  type HandleUplinkRequest,
  type HandleUplinkResponse,
  HandleUplinkResponseSchema,
} from "../proto/gen/holdfast/business/v1/business_pb.ts";
import { payloadOf } from "./message.ts";
import { payloadInit } from "./node-business-push.ts";

export interface Uplink {
  readonly app: string;
  readonly device: string;
  /** "" for a device without a user. */
  readonly user: string;
  readonly connectionId: string;
  readonly node: string;
  readonly platform: string;
  readonly appVersion: string;
  readonly address: string;
  /** The client's own id of this uplink. */
  readonly requestId: string;
  readonly text: string | undefined;
  readonly data: Uint8Array | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** It may have come before. */
  readonly retransmit: boolean;
  readonly receivedAt: Date;
}

/** Nothing: it was taken. Of stored uplinks nobody waits for the answer. */
export type UplinkAnswer =
  | { text: string }
  | { data: Uint8Array }
  | { refused: string }
  | undefined;
export type UplinkHandler = (uplink: Uplink) => Promise<UplinkAnswer> | UplinkAnswer;

/** For a business of mode `rpc`: give it to a `node:http` or `node:http2` server. */
export function uplinkListener(handler: UplinkHandler) {
  return connectNodeAdapter({
    routes(router) {
      router.service(BusinessService, {
        handleUplink: (request) => responseOf(handler, request),
      });
    },
  });
}

/** What the handler answers; rejects with what it throws. */
export async function responseOf(
  handler: UplinkHandler,
  request: HandleUplinkRequest,
): Promise<HandleUplinkResponse> {
  const answer = await handler(uplinkOf(request));
  if (answer === undefined) return create(HandleUplinkResponseSchema);
  if ("refused" in answer) {
    return create(HandleUplinkResponseSchema, { refused: answer.refused || "refused" });
  }
  const payload =
    "text" in answer ? payloadInit(answer.text, undefined) : payloadInit(undefined, answer.data);
  return create(HandleUplinkResponseSchema, { payload });
}

export function uplinkOf(request: HandleUplinkRequest): Uplink {
  const { app, device, user, connectionId, node, client, address } = request;
  const { requestId, payload, metadata, retransmit, receivedAtMs } = request;
  return {
    app,
    device,
    user,
    connectionId,
    node,
    platform: client?.platform ?? "",
    appVersion: client?.appVersion ?? "",
    address,
    requestId,
    ...payloadOf(payload),
    metadata,
    retransmit,
    receivedAt: new Date(Number(receivedAtMs)),
  };
}
