/** The payload that uplinks, their answers and messages have: bytes, text, or none. */
export type Payload =
  | { case: "data"; value: Uint8Array }
  | { case: "text"; value: string }
  | { case: undefined; value?: undefined };

const NOTHING = new Uint8Array();

/** As protobuf writes it. */
export function payloadBytes(payload: Payload): Uint8Array {
  switch (payload.case) {
    case "data":
      return payload.value;
    case "text":
      return Buffer.from(payload.value);
    default:
      return NOTHING;
  }
}

/** The length of `payloadBytes`. */
export function payloadLength(payload: Payload): number {
  return payload.case === "text"
    ? Buffer.byteLength(payload.value)
    : (payload.value?.byteLength ?? 0);
}
