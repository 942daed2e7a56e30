import { ending } from "./session/close-frame.ts";

/** The Close frame for a TCP client that is turned away before it has said anything, as it is sent. */
export function goodbye(afterMs: number): Uint8Array {
  const { frame } = ending("overloaded", { afterMs, random: () => 0 });
  return frame.bytes("tcp");
}
