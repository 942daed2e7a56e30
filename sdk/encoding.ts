/** How frames look on the wire. `protoEncoding` is the default; json-encoding.ts has the other. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  ClientFrameSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "../proto/gen/holdfast/wire/v1/wire_pb.ts";

/** The body of a frame to the gateway. */
export type ClientBody = NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>;

export interface Encoding {
  /** The WebSocket subprotocol that names this encoding. */
  readonly subprotocol: string;
  encode(body: ClientBody): Uint8Array | string;
  /** Throws when `data` is not a frame. */
  decode(data: Uint8Array | string): ServerFrame;
}

export const protoEncoding: Encoding = {
  subprotocol: "holdfast.v1.proto",
  encode: (body) => toBinary(ClientFrameSchema, create(ClientFrameSchema, { body })),
  decode(data) {
    if (typeof data === "string") throw new TypeError("a text frame on a binary connection");
    return fromBinary(ServerFrameSchema, data);
  },
};
