import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { encodeUplinkAck, encodeUplinkReply } from "../../internal/wire/uplink-answers.ts";
import {
  ServerFrameSchema,
  UplinkAckSchema,
  type UplinkReply,
  UplinkReplySchema,
  UplinkStatus,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

/** What the protobuf library itself makes of them. */
const frameOf = (body: Parameters<typeof create<typeof ServerFrameSchema>>[1]) =>
  toBinary(ServerFrameSchema, create(ServerFrameSchema, body));

describe("the answers to uplinks", () => {
  test.each([
    ["1", UplinkStatus.OK, 0],
    ["ünï ✉", UplinkStatus.BUSY, 1_000],
    ["x".repeat(128), UplinkStatus.TIMEOUT, 4_294_967_295],
  ])("an ack of %j is the frame of the schema", (requestId, status, retryAfterMs) => {
    const value = create(UplinkAckSchema, { requestId, status, retryAfterMs });
    expect(Buffer.from(encodeUplinkAck(requestId, status, retryAfterMs))).toEqual(
      Buffer.from(frameOf({ body: { case: "uplinkAck", value } })),
    );
  });

  test.each<[UplinkReply["payload"]]>([
    [{ case: undefined }],
    [{ case: "data", value: new Uint8Array(70_000).fill(7) }],
    [{ case: "data", value: new Uint8Array() }],
    [{ case: "text", value: "gern ✉" }],
    [{ case: "text", value: "" }],
  ])("a reply is the frame of the schema", (payload) => {
    const value = create(UplinkReplySchema, { requestId: "r", status: UplinkStatus.OK, payload });
    expect(Buffer.from(encodeUplinkReply("r", UplinkStatus.OK, payload))).toEqual(
      Buffer.from(frameOf({ body: { case: "uplinkReply", value } })),
    );
  });
});
