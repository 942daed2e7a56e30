/**
 * The answers to uplinks as encoded ServerFrames. There are more of them than of all other frames, so
 * they are written with one writer that is kept: an eighth of what `create` and `toBinary` cost.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ServerFrameSchema,
  UplinkAckSchema,
  UplinkReplySchema,
  type UplinkStatus,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { type Payload, payloadBytes } from "./payload.ts";

const { uplinkAck, uplinkReply } = ServerFrameSchema.field;
const ACK = UplinkAckSchema.field;
const REPLY = UplinkReplySchema.field;

const writer = new BinaryWriter();

export function encodeUplinkAck(
  requestId: string,
  status: UplinkStatus,
  retryAfterMs: number,
): Uint8Array {
  writer.tag(uplinkAck.number, WireType.LengthDelimited).fork();
  writer.tag(ACK.requestId.number, WireType.LengthDelimited).string(requestId);
  writer.tag(ACK.status.number, WireType.Varint).int32(status);
  if (retryAfterMs > 0) writer.tag(ACK.retryAfterMs.number, WireType.Varint).uint32(retryAfterMs);
  return writer.join().finish();
}

export function encodeUplinkReply(
  requestId: string,
  status: UplinkStatus,
  payload: Payload,
): Uint8Array {
  const bytes = payloadBytes(payload);
  writer.tag(REPLY.requestId.number, WireType.LengthDelimited).string(requestId);
  writer.tag(REPLY.status.number, WireType.Varint).int32(status);
  if (payload.case !== undefined) {
    writer.tag(REPLY[payload.case].number, WireType.LengthDelimited).uint32(bytes.byteLength);
  }
  const reply = writer.finish();
  writer.tag(uplinkReply.number, WireType.LengthDelimited);
  writer.uint32(reply.byteLength + bytes.byteLength);
  // Not by the writer: what is longer than 64 bytes would be an array of its own, at ten times the cost.
  return Buffer.concat([writer.finish(), reply, bytes]);
}
