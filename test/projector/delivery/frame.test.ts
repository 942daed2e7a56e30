import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { deliveryFrame } from "../../../internal/projector/delivery/frame.ts";
import { MessageSchema, ServerFrameSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

test.each([
  [1, ""],
  [127, "x".repeat(100)],
  [128, "x".repeat(200)],
  [2 ** 32, "x".repeat(20_000)],
  [1_790_000_000_000_001, "grüße"],
  [Number.MAX_SAFE_INTEGER, "x"],
])(
  "a stored message becomes the frame of delivery %i as the protobuf library would write it",
  (sequence, text) => {
    const payload = { case: "text", value: text } as const;
    const message = create(MessageSchema, { messageId: "m1", business: "chat", payload });
    const frame = deliveryFrame(toBinary(MessageSchema, message), sequence);
    const { body } = fromBinary(ServerFrameSchema, frame);
    const value = {
      message: create(MessageSchema, { ...message, deliverySequence: BigInt(sequence) }),
    };
    const wanted = create(ServerFrameSchema, { body: { case: "push", value } });
    expect(body).toEqual(wanted.body);
  },
);
