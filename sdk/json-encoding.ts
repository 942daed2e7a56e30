import { create, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { ClientFrameSchema, ServerFrameSchema } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { Encoding } from "./encoding.ts";

/**
 * Frames as JSON text, so that a browser's network panel shows what is said. For debugging: it is
 * larger on the wire, and adds some 9 KB (gzip) to a bundle that imports it.
 */
export const jsonEncoding: Encoding = {
  subprotocol: "holdfast.v1.json",
  encode: (body) => toJsonString(ClientFrameSchema, create(ClientFrameSchema, { body })),
  decode(data) {
    if (typeof data !== "string") throw new TypeError("a binary frame on a text connection");
    // A newer gateway may send fields that this build does not know.
    return fromJsonString(ServerFrameSchema, data, { ignoreUnknownFields: true });
  },
};
