import { create } from "@bufbuild/protobuf";
import { type ServerFrame, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import {
  decodeServerFrame,
  encodeServerFrame,
  type ServerBody,
  serverFrameToJson,
} from "./codec.ts";
import { LENGTH_BYTES } from "./frame-reader.ts";
import { OPCODE_BINARY, OPCODE_TEXT, websocketFrame } from "./websocket-frame.ts";

/** The forms in which a frame goes into a socket. */
export type FrameForm = "websocket-binary" | "websocket-text" | "tcp";

/**
 * A server frame, framed for each kind of socket at most once, when the first such socket wants it.
 * All sockets are given the same bytes, so a message to a room costs one encoding, not one a member.
 */
export class SharedFrame {
  #message: ServerFrame | undefined;
  #binary: Uint8Array | undefined;
  #websocketBinary: Buffer | undefined;
  #websocketText: Buffer | undefined;
  #tcp: Buffer | undefined;

  private constructor(message: ServerFrame | undefined, binary: Uint8Array | undefined) {
    this.#message = message;
    this.#binary = binary;
  }

  static of(body: ServerBody): SharedFrame {
    return new SharedFrame(create(ServerFrameSchema, { body }), undefined);
  }

  static fromMessage(message: ServerFrame): SharedFrame {
    return new SharedFrame(message, undefined);
  }

  /** An encoded ServerFrame, as the push API makes it. It is trusted, and not looked into. */
  static fromBinary(binary: Uint8Array): SharedFrame {
    return new SharedFrame(undefined, binary);
  }

  /** The bytes to write. Never change them: every socket shares them. */
  bytes(form: FrameForm): Buffer {
    switch (form) {
      case "websocket-binary":
        this.#websocketBinary ??= websocketFrame(OPCODE_BINARY, this.binary);
        return this.#websocketBinary;
      case "websocket-text":
        this.#websocketText ??= websocketFrame(OPCODE_TEXT, this.json);
        return this.#websocketText;
      case "tcp":
        this.#tcp ??= lengthPrefixed(this.binary);
        return this.#tcp;
    }
  }

  get binary(): Uint8Array {
    this.#binary ??= encodeServerFrame(this.message);
    return this.#binary;
  }

  get json(): string {
    return serverFrameToJson(this.message);
  }

  get message(): ServerFrame {
    // Without a message there are bytes: the constructor is given one or the other.
    this.#message ??= decodeServerFrame(this.#binary ?? new Uint8Array());
    return this.#message;
  }
}

function lengthPrefixed(body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.byteLength);
  frame.writeUInt32BE(body.byteLength, 0);
  frame.set(body, LENGTH_BYTES);
  return frame;
}
