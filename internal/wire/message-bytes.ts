/**
 * Messages of rooms as bytes. A node stamps each with its position and looks at its priority; to decode
 * and encode it for that would cost more than everything else it does with it.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  MessageSchema,
  PushSchema,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const PUSH_FIELD = ServerFrameSchema.field.push.number;
const MESSAGE_FIELD = PushSchema.field.message.number;
const PUSH_TAG = tagByte(PUSH_FIELD, WireType.LengthDelimited);
const MESSAGE_TAG = tagByte(MESSAGE_FIELD, WireType.LengthDelimited);
const POSITION_TAG = tagByte(MessageSchema.field.position.number, WireType.Varint);
const PRIORITY_FIELD = MessageSchema.field.priority.number;

/** The encoded Message in an encoded ServerFrame with a push. @throws when there is none. */
export function messageOfPush(frame: Uint8Array): Uint8Array {
  return inner(inner(frame, PUSH_FIELD), MESSAGE_FIELD);
}

/** Message.priority of an encoded Message. @throws when it is not one. */
export function priorityNumberOf(message: Uint8Array): number {
  const reader = new BinaryReader(message);
  let priority = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === PRIORITY_FIELD && type === WireType.Varint) priority = reader.int32();
    else reader.skip(type, field);
  }
  return priority;
}

/** A copy of the encoded Message that says its position: of two values of a field the last one holds. */
export function stamped(message: Uint8Array, position: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(message.byteLength + 1 + varintLength(position));
  bytes.set(message, 0);
  bytes[message.byteLength] = POSITION_TAG;
  writeVarint(bytes, message.byteLength + 1, position);
  return bytes;
}

const ADDRESS_TAGS = {
  room: tagByte(MessageSchema.field.room.number, WireType.LengthDelimited),
  zone: tagByte(MessageSchema.field.zone.number, WireType.LengthDelimited),
};

/** A copy of the encoded Message, which names neither, that says its room or zone. */
export function addressed(message: Uint8Array, kind: "room" | "zone", id: string): Uint8Array {
  const length = Buffer.byteLength(id);
  const bytes = Buffer.allocUnsafe(message.byteLength + 1 + varintLength(length) + length);
  bytes.set(message, 0);
  bytes[message.byteLength] = ADDRESS_TAGS[kind];
  bytes.write(id, writeVarint(bytes, message.byteLength + 1, length), "utf8");
  return bytes;
}

/** An encoded ServerFrame that pushes the encoded Message. */
export function pushOfMessage(message: Uint8Array): Uint8Array {
  const { byteLength: length } = message;
  const push = 1 + varintLength(length) + length;
  const bytes = Buffer.allocUnsafe(1 + varintLength(push) + push);
  bytes[0] = PUSH_TAG;
  let at = writeVarint(bytes, 1, push);
  bytes[at] = MESSAGE_TAG;
  at = writeVarint(bytes, at + 1, length);
  bytes.set(message, at);
  return bytes;
}

/** Each message after its length: Batch.data. */
export function lengthDelimited(messages: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const { byteLength } of messages) total += varintLength(byteLength) + byteLength;
  const bytes = Buffer.allocUnsafe(total);
  let at = 0;
  for (const message of messages) {
    at = writeVarint(bytes, at, message.byteLength);
    bytes.set(message, at);
    at += message.byteLength;
  }
  return bytes;
}

function inner(bytes: Uint8Array, wanted: number): Uint8Array {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) return reader.bytes();
    reader.skip(type, field);
  }
  throw new RangeError(`no field ${wanted}`);
}

/** Field numbers below 16 take one byte. */
function tagByte(field: number, type: WireType): number {
  return (field << 3) | type;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

/** @returns where it ends. */
function writeVarint(bytes: Buffer, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    bytes[end] = (rest % 0x80) | 0x80;
    end += 1;
  }
  bytes[end] = rest;
  return end + 1;
}
