import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { MessageSchema, ServerFrameSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

export function encodeMessage(messageId: string, text: string): Uint8Array {
  const payload = { case: "text", value: text } as const;
  return toBinary(MessageSchema, create(MessageSchema, { messageId, business: "chat", payload }));
}

/** What a client reads in a frame. */
export function messageOf(frame: Uint8Array): { deliverySequence: number; text: string } {
  const { body } = fromBinary(ServerFrameSchema, frame);
  if (body.case !== "push" || body.value.message === undefined) throw new Error("not a push");
  const { deliverySequence, payload } = body.value.message;
  return {
    deliverySequence: Number(deliverySequence),
    text: payload.case === "text" ? payload.value : "",
  };
}
