/**
 * Frames as bytes, in the two encodings of the protocol: binary protobuf, and ProtoJSON in UTF-8.
 *
 * Fields that this build does not know are ignored in both, as protobuf does, so that a newer
 * client can talk to an older node whatever its encoding. A frame whose body is unknown is refused:
 * the client waits for an answer that would never come.
 */
import { fromBinary, fromJson, type JsonValue, toBinary, toJsonString } from "@bufbuild/protobuf";
import {
  type ClientFrame,
  ClientFrameSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { ProtocolViolation } from "./violation.ts";

export type Encoding = "proto" | "json";

export type ClientBody = Exclude<ClientFrame["body"], { case: undefined }>;
export type ServerBody = Exclude<ServerFrame["body"], { case: undefined }>;

/** Unknown fields are not kept: nothing reads them, and they would stay in memory with the rest. */
const READ_BINARY = { readUnknownFields: false };
const READ_JSON = { ignoreUnknownFields: true };

const BODIES = ClientFrameSchema.oneofs
  .flatMap((oneof) => oneof.fields.map((field) => field.name))
  .join(", ");

/** @throws ProtocolViolation `bad-frame` that says what is wrong with the bytes. */
export function decodeClientFrame(data: Uint8Array, encoding: Encoding): ClientBody {
  const { body } = encoding === "proto" ? decodeBinary(data) : decodeJson(data);
  if (body.case === undefined) {
    throw new ProtocolViolation("bad-frame", `the frame has no known body; it is one of ${BODIES}`);
  }
  return body;
}

function decodeBinary(data: Uint8Array): ClientFrame {
  try {
    return fromBinary(ClientFrameSchema, data, READ_BINARY);
  } catch (error) {
    throw new ProtocolViolation("bad-frame", `not a protobuf ClientFrame: ${why(error)}`, {
      cause: error,
    });
  }
}

function decodeJson(data: Uint8Array): ClientFrame {
  let value: JsonValue;
  try {
    value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
  } catch (error) {
    throw new ProtocolViolation("bad-frame", "not JSON", { cause: error });
  }
  try {
    return fromJson(ClientFrameSchema, value, READ_JSON);
  } catch (error) {
    throw new ProtocolViolation("bad-frame", `not a JSON ClientFrame: ${why(error)}`, {
      cause: error,
    });
  }
}

function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function encodeServerFrame(frame: ServerFrame): Uint8Array {
  return toBinary(ServerFrameSchema, frame);
}

export function serverFrameToJson(frame: ServerFrame): string {
  return toJsonString(ServerFrameSchema, frame);
}

/** A frame that another part of the system encoded. @throws what protobuf throws. */
export function decodeServerFrame(data: Uint8Array): ServerFrame {
  return fromBinary(ServerFrameSchema, data, READ_BINARY);
}
