/**
 * Raw TCP, for Node:
 *
 *     import { connect, webSocket } from "holdfast/sdk";
 *     import { tcp } from "holdfast/sdk/node-tcp";
 *     const client = connect({ ..., transports: [tcp, webSocket] });
 *
 * The client opens with the four bytes "HFD1"; then both sides send frames, each after its length
 * as a big-endian uint32.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { LOST } from "./close-code.ts";
import type { Link, LinkReceiver, Transport } from "./transport.ts";

const PREFACE = "HFD1";
const LENGTH_BYTES = 4;
/** The longest frame that a gateway sends. More means that the other side is something else. */
const MAX_FRAME_BYTES = 16 * 1024 * 1024;

/** `tcp://host:port`, or `tls://host:port` for TLS. Binary frames only: it goes with the default encoding. */
export const tcp: Transport = {
  accepts: (url) => /^(tcp|tls):/i.test(url),
  open(url, subprotocol, receiver) {
    if (subprotocol !== "holdfast.v1.proto") throw new TypeError("TCP carries binary frames only");
    const { protocol, hostname, port } = new URL(url);
    const target = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) };
    if (protocol === "tcp:") return link(connectTcp(target), "connect", receiver);
    return link(connectTls({ ...target, servername: target.host }), "secureConnect", receiver);
  },
};

function link(socket: Socket, ready: "connect" | "secureConnect", receiver: LinkReceiver): Link {
  const frames = new FrameSplitter();
  let reason = "";
  socket.setNoDelay(true);
  socket.once(ready, () => {
    socket.write(PREFACE);
    receiver.opened();
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const frame of frames.push(chunk)) receiver.frame(frame);
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  });
  socket.on("error", (error) => {
    reason = error.message;
  });
  socket.once("close", () => receiver.closed(LOST, reason));
  return {
    send(data) {
      if (typeof data === "string" || !socket.writable) return;
      const length = Buffer.allocUnsafe(LENGTH_BYTES);
      length.writeUInt32BE(data.byteLength);
      socket.cork();
      socket.write(length);
      socket.write(data);
      socket.uncork();
    },
    close: () => (socket.connecting ? socket.destroy() : socket.end()),
  };
}

/** Cuts a byte stream into frames, however it arrives in pieces. */
export class FrameSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete with this chunk. Throws when a length cannot be right. */
  push(chunk: Buffer): Uint8Array[] {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Uint8Array[] = [];
    let at = 0;
    while (bytes.byteLength - at >= LENGTH_BYTES) {
      const length = bytes.readUInt32BE(at);
      if (length > MAX_FRAME_BYTES) throw new RangeError(`a frame of ${length} bytes`);
      const end = at + LENGTH_BYTES + length;
      if (end > bytes.byteLength) break;
      // Not as a Buffer, which differs from the Uint8Array that the application is promised.
      frames.push(new Uint8Array(bytes.buffer, bytes.byteOffset + at + LENGTH_BYTES, length));
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return frames;
  }
}
