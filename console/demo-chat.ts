import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type HandleUplinkRequest,
  HandleUplinkRequestSchema,
  type HandleUplinkResponse,
  HandleUplinkResponseSchema,
} from "../proto/gen/holdfast/business/v1/business_pb.ts";
import type { DemoClients } from "./demo-clients.ts";

/** The business these lines belong to. */
export const CHAT = "chat";

const MAX_TEXT = 2_000;

/**
 * The chat of the demo, and an example of a business server: a line comes up from a device with
 * `metadata.room`, and goes out to everybody in that room. What a business adds is what it knows:
 * here, who said it, which the gateway has from the token and a client cannot forge.
 */
export async function handleChatLine(
  uplink: HandleUplinkRequest,
  push: DemoClients["push"],
): Promise<HandleUplinkResponse> {
  const { app, device, user, payload } = uplink;
  const room = uplink.metadata.room ?? "";
  const text = payload.case === "text" ? payload.value.trim() : "";
  if (room === "") return refused("metadata.room: must name a room");
  if (text === "") return refused("text: must not be empty");
  if (text.length > MAX_TEXT) return refused(`text: must be at most ${MAX_TEXT} characters`);
  await push.pushToRooms({
    app,
    rooms: [room],
    message: {
      business: CHAT,
      payload: { case: "text", value: text },
      metadata: { from: device, user },
    },
  });
  const value = `sent to ${room}`;
  return create(HandleUplinkResponseSchema, { payload: { case: "text", value } });
}

/** The same on the bytes that travel on `hf.rpc.<app>.chat`. Never rejects. */
export async function answerChatLine(
  request: Uint8Array,
  push: DemoClients["push"],
): Promise<Uint8Array> {
  let response: HandleUplinkResponse;
  try {
    response = await handleChatLine(fromBinary(HandleUplinkRequestSchema, request), push);
  } catch (error) {
    response = refused(error instanceof Error ? error.message : String(error));
  }
  return toBinary(HandleUplinkResponseSchema, response);
}

function refused(why: string): HandleUplinkResponse {
  return create(HandleUplinkResponseSchema, { refused: why });
}
