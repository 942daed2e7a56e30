/** WebSocket messages as a server sends them: one unmasked frame each (RFC 6455, section 5.2). */

export const OPCODE_TEXT = 0x1;
export const OPCODE_BINARY = 0x2;
export const OPCODE_PONG = 0xa;

const FIN = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** Header and payload in one buffer, ready for the socket. `payload` is bytes, or text of UTF-8. */
export function websocketFrame(opcode: number, payload: Uint8Array | string): Buffer {
  const text = typeof payload === "string";
  const length = text ? Buffer.byteLength(payload) : payload.byteLength;
  const header = length < LENGTH_16 ? 2 : length < 0x1_0000 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = FIN | opcode;
  if (header === 2) {
    frame[1] = length;
  } else if (header === 4) {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = LENGTH_64;
    frame.writeUInt32BE(0, 2); // no frame comes near 4 GiB
    frame.writeUInt32BE(length, 6);
  }
  if (text) frame.write(payload, header, "utf8");
  else frame.set(payload, header);
  return frame;
}
