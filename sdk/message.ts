import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  type Batch,
  Message_Priority,
  MessageSchema,
  type Message as WireMessage,
} from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Decompressors } from "./batches.ts";
import { HoldfastSdkError } from "./error.ts";

/** A message from a business server. */
export interface Message extends Payload {
  readonly id: string;
  readonly business: string;
  /** Set for messages to a room. */
  readonly room: string | undefined;
  /** Set for messages to a zone. */
  readonly zone: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly priority: "normal" | "high" | "low";
  /** Its place in its room or zone, or among the broadcasts; 0n for messages to this device alone. */
  readonly position: bigint;
  /** Its place among the must-arrive messages of this device; 0n for the others. */
  readonly deliverySequence: bigint;
  readonly sentAt: Date | undefined;
}

/** Text or bytes, or neither. The gateway never looks into it. */
export interface Payload {
  readonly text: string | undefined;
  readonly data: Uint8Array | undefined;
}

const PRIORITIES: Readonly<Record<number, Message["priority"]>> = {
  [Message_Priority.NORMAL]: "normal",
  [Message_Priority.HIGH]: "high",
  [Message_Priority.LOW]: "low",
};

export function messageOf(wire: WireMessage): Message {
  return {
    id: wire.messageId,
    business: wire.business,
    room: wire.room === "" ? undefined : wire.room,
    zone: wire.zone === "" ? undefined : wire.zone,
    ...payloadOf(wire.payload),
    metadata: wire.metadata,
    priority: PRIORITIES[wire.priority] ?? "normal",
    position: wire.position,
    deliverySequence: wire.deliverySequence,
    sentAt: wire.sentAt && new Date(Number(wire.sentAt.seconds) * 1000 + wire.sentAt.nanos / 1e6),
  };
}

export function payloadOf(payload: WireMessage["payload"]): Payload {
  return {
    text: payload.case === "text" ? payload.value : undefined,
    data: payload.case === "data" ? payload.value : undefined,
  };
}

/** The messages of a batch: each after its length, as a varint. Throws when they cannot be read. */
export function messagesOfBatch(batch: Batch, decompressors: Decompressors): WireMessage[] {
  const { encoding } = batch;
  const decompress = encoding === "" ? (data: Uint8Array) => data : decompressors[encoding];
  if (decompress === undefined) {
    throw new HoldfastSdkError("lost", `cannot read a batch of encoding "${encoding}"`);
  }
  const reader = new BinaryReader(decompress(batch.data));
  const messages: WireMessage[] = [];
  while (reader.pos < reader.len) messages.push(fromBinary(MessageSchema, reader.bytes()));
  return messages;
}
