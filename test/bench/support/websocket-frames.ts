/** Just enough of WebSocket for clients that only count. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ClientFrameSchema } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";

export const UPGRADE =
  "GET /connect HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
  "Sec-WebSocket-Protocol: holdfast.v1.proto\r\n\r\n";

/** A short client frame: masked, with a mask of zeros. */
export function clientFrame(
  body: NonNullable<MessageInitShape<typeof ClientFrameSchema>["body"]>,
): Buffer {
  const payload = toBinary(ClientFrameSchema, create(ClientFrameSchema, { body }));
  const { length } = payload;
  const header = length < 126 ? [0x82, 0x80 | length] : [0x82, 0xfe, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), Buffer.alloc(4), payload]);
}

/** The answer to a ping of the server's. */
export const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);

const BINARY = 0x2;
const PING = 0x9;

/** Cuts what a server sends into frames, however it comes; the server does not mask and does not split. */
export class ServerFrames {
  readonly #binary: (payload: Buffer) => void;
  readonly #ping: () => void;
  #held: Buffer | undefined;

  constructor(binary: (payload: Buffer) => void, ping: () => void) {
    this.#binary = binary;
    this.#ping = ping;
  }

  push(chunk: Buffer): void {
    let rest = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    for (let size = wholeFrame(rest); size > 0; size = wholeFrame(rest)) {
      this.#frame(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    this.#held = rest.length === 0 ? undefined : rest;
  }

  #frame(frame: Buffer): void {
    const opcode = (frame[0] ?? 0) & 0x0f;
    if (opcode === BINARY) this.#binary(frame.subarray(headerBytes(frame)));
    else if (opcode === PING) this.#ping();
  }
}

function headerBytes(frame: Buffer): number {
  const length = (frame[1] ?? 0) & 0x7f;
  return length < 126 ? 2 : length === 126 ? 4 : 10;
}

/** The length of the first frame, 0 while it has not come in full. */
function wholeFrame(bytes: Buffer): number {
  if (bytes.length < 2) return 0;
  const header = headerBytes(bytes);
  if (bytes.length < header) return 0;
  const short = (bytes[1] ?? 0) & 0x7f;
  const length =
    header === 2 ? short : header === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  return bytes.length < header + length ? 0 : header + length;
}
