import type { Socket } from "node:net";

/** How an HTTP/2 client that knows what it talks to begins: RFC 9113, section 3.4. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n");

export type HttpVersion = "http1" | "http2";

/** What the first bytes of a connection say; undefined while they may still become either. */
export function versionOf(bytes: Uint8Array): HttpVersion | undefined {
  const compared = Math.min(bytes.length, PREFACE.length);
  if (PREFACE.compare(bytes, 0, compared, 0, compared) !== 0) return "http1";
  return compared === PREFACE.length ? "http2" : undefined;
}

/**
 * Reads as much of a fresh connection as tells its version, puts it back, and calls `known`. A
 * connection that says nothing for `deadlineMs`, ends or fails before is destroyed.
 */
export function sniff(
  socket: Socket,
  deadlineMs: number,
  known: (version: HttpVersion) => void,
): void {
  let seen = Buffer.alloc(0);
  const giveUp = () => socket.destroy();
  // Absolute: bytes that come one by one do not extend it.
  const deadline = setTimeout(giveUp, deadlineMs);
  const stop = () => {
    clearTimeout(deadline);
    socket.off("readable", look).off("end", giveUp).off("close", stop).off("error", giveUp);
  };
  const look = () => {
    for (let chunk = read(socket); chunk !== undefined; chunk = read(socket)) {
      seen = Buffer.concat([seen, chunk]);
    }
    const version = versionOf(seen);
    if (version === undefined) return;
    stop();
    socket.unshift(seen);
    known(version);
  };
  socket.on("readable", look).on("end", giveUp).on("close", stop).on("error", giveUp);
}

function read(socket: Socket): Buffer | undefined {
  const chunk: unknown = socket.read();
  return Buffer.isBuffer(chunk) ? chunk : undefined;
}
