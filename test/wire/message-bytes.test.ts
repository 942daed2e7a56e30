import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  addressed,
  lengthDelimited,
  messageOfPush,
  priorityNumberOf,
  pushOfMessage,
  stamped,
} from "../../internal/wire/message-bytes.ts";
import {
  Message_Priority,
  MessageSchema,
  ServerFrameSchema,
} from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";

const texts = fc.string({ unit: "binary", maxLength: 300 }).filter((text) => text.isWellFormed());
const positions = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

test("bytes put around and behind a message are the fields that they stand for", () => {
  fc.assert(
    fc.property(
      texts,
      texts,
      positions,
      fc.constantFrom("room", "zone"),
      (text, id, position, kind) => {
        const payload = { case: "text", value: text } as const;
        const init = { messageId: "m", priority: Message_Priority.LOW, payload };
        const bytes = toBinary(MessageSchema, create(MessageSchema, init));
        const frame = pushOfMessage(stamped(addressed(bytes, kind, id), position));
        const { body } = fromBinary(ServerFrameSchema, frame);
        const expected = create(MessageSchema, {
          ...init,
          [kind]: id,
          position: BigInt(position),
        });
        expect(body.value).toMatchObject({ message: expected });
        expect(fromBinary(MessageSchema, messageOfPush(frame))).toEqual(expected);
        expect(priorityNumberOf(messageOfPush(frame))).toBe(2);
      },
    ),
  );
});

test("what is no push is refused", () => {
  expect(() => messageOfPush(Buffer.of(0x0f))).toThrow();
  expect(() => messageOfPush(new Uint8Array())).toThrow();
  expect(() => priorityNumberOf(Buffer.of(0x0a, 0x05, 0x01))).toThrow();
});

test("messages of a batch stand behind their lengths", () => {
  const long = new Uint8Array(300).fill(7);
  expect([...lengthDelimited([Uint8Array.of(1, 2), long])]).toEqual([2, 1, 2, 0xac, 2, ...long]);
});
