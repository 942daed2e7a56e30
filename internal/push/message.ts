import { randomUUIDv7 } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Message, type Options, Priority } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import {
  Message_Priority,
  MessageSchema,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const WIRE_PRIORITY: Record<Priority, Message_Priority> = {
  [Priority.NORMAL]: Message_Priority.NORMAL,
  [Priority.HIGH]: Message_Priority.HIGH,
  [Priority.LOW]: Message_Priority.LOW,
};

/** A message on its way, the same for all of its targets. */
export interface OutgoingMessage {
  readonly id: string;
  readonly priority: Message_Priority;
  readonly content: Message;
  readonly sentAtMs: number;
}

export function outgoing(
  content: Message,
  options: Options | undefined,
  sentAtMs: number,
): OutgoingMessage {
  return {
    // Time-ordered, and with 74 random bits not to be guessed.
    id: content.messageId === "" ? randomUUIDv7() : content.messageId,
    priority: WIRE_PRIORITY[options?.priority ?? Priority.NORMAL] ?? Message_Priority.NORMAL,
    content,
    sentAtMs,
  };
}

/** The frame as clients get it. The rules for Message bound it at 300 KiB. */
export function encodeFrame(message: OutgoingMessage): Uint8Array {
  const value = { message: wireMessage(message) };
  return toBinary(ServerFrameSchema, create(ServerFrameSchema, { body: { case: "push", value } }));
}

/** The message alone, for those who put it into a frame later. */
export function encodeMessage(message: OutgoingMessage): Uint8Array {
  return toBinary(MessageSchema, wireMessage(message));
}

function wireMessage(message: OutgoingMessage) {
  const { id: messageId, priority, content, sentAtMs } = message;
  const { business, payload, metadata } = content;
  const sentAt = timestampFromMs(sentAtMs);
  return create(MessageSchema, { messageId, business, payload, metadata, priority, sentAt });
}
