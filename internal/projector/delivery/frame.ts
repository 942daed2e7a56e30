/**
 * A stored message as the frame that a client gets: ServerFrame{push{message}} with the delivery
 * sequence put in. Protobuf fields may come in any order, so the sequence is written behind the
 * message's bytes, which are not decoded again.
 */

/** Field 3 (push) of ServerFrame, field 1 (message) of Push, both length-delimited. */
const PUSH = 0x1a;
const MESSAGE = 0x0a;
/** Field 8 (delivery_sequence) of Message, a varint. */
const DELIVERY_SEQUENCE = 0x40;

export function deliveryFrame(message: Uint8Array, sequence: number): Uint8Array {
  const messageLength = message.length + 1 + varintLength(sequence);
  const pushLength = 1 + varintLength(messageLength) + messageLength;
  const frame = Buffer.allocUnsafe(1 + varintLength(pushLength) + pushLength);
  let at = 0;
  frame[at++] = PUSH;
  at = writeVarint(frame, at, pushLength);
  frame[at++] = MESSAGE;
  at = writeVarint(frame, at, messageLength);
  frame.set(message, at);
  at += message.length;
  frame[at++] = DELIVERY_SEQUENCE;
  writeVarint(frame, at, sequence);
  return frame;
}

/** By division: sequences may be longer than the 32 bits that shifts reach. */
function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}
