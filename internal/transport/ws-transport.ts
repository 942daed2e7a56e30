/**
 * Frames over WebSocket, one message each. `ws` reads; what is sent goes straight into the socket, framed
 * once for everybody (wire/shared-frame.ts).
 */
import type { Socket } from "node:net";
import { type RawData, WebSocket } from "ws";
import { ProtocolViolation, type ViolationReason } from "../wire/violation.ts";
import { OPCODE_PONG, websocketFrame } from "../wire/websocket-frame.ts";
import { SocketTransport } from "./socket-transport.ts";
import type { Accept, TransportHandlers } from "./transport.ts";
import { encodingOf } from "./upgrade.ts";

const kTransport = Symbol("websocket transport");

declare module "node:net" {
  interface Socket {
    [kTransport]?: WebSocketTransport;
  }
}

/** Of a connection that has been upgraded. */
export function openWebSocketTransport(
  websocket: GatewaySocket,
  socket: Socket,
  accept: Accept,
): void {
  const transport = new WebSocketTransport(websocket, socket);
  websocket.transport = transport;
  socket[kTransport] = transport;
  transport.handlers = accept(transport);
  websocket.on("message", onMessage);
  websocket.on("ping", onPing);
  websocket.on("pong", onPong);
  websocket.on("error", ignore);
  websocket.on("close", onClose);
  socket.prependListener("end", onEnd);
  socket.on("drain", onDrain);
}

/** What `ws` closes a peer with that breaks RFC 6455, and how the session calls it. */
export const WEBSOCKET_VIOLATIONS: Record<number, { reason: ViolationReason; message: string }> = {
  1002: { reason: "bad-protocol", message: "the bytes are not WebSocket frames" },
  1007: { reason: "bad-frame", message: "a text message is not UTF-8" },
  1008: { reason: "bad-frame", message: "a message comes in too many parts" },
  1009: { reason: "frame-too-large", message: "a message is longer than a frame may be" },
};

export class GatewaySocket extends WebSocket {
  transport: WebSocketTransport | undefined;

  /**
   * `ws` calls it by itself to answer the peer's Close, and, with a code and no reason, for a peer that
   * breaks RFC 6455.
   */
  override close(code?: number, reason?: string | Buffer): void {
    // Before the Close frame: what comes after it is lost.
    this.transport?.flush();
    const violation =
      reason === undefined && code !== undefined ? WEBSOCKET_VIOLATIONS[code] : undefined;
    if (violation !== undefined && this.readyState === WebSocket.OPEN) {
      this.transport?.broken(violation.reason, violation.message);
      super.close(code, violation.message);
    } else {
      super.close(code, reason);
    }
  }
}

class WebSocketTransport extends SocketTransport {
  readonly protocol = "websocket";
  handlers: TransportHandlers | undefined;
  readonly #websocket: GatewaySocket;
  #reading = true;
  /** How much had been read when this side ended it. */
  #readAtEnd = 0;

  constructor(websocket: GatewaySocket, socket: Socket) {
    const encoding = encodingOf(websocket.protocol);
    const form = encoding === "proto" ? "websocket-binary" : "websocket-text";
    super(socket, { address: socket.remoteAddress ?? "", encoding, form });
    this.#websocket = websocket;
  }

  message(data: Buffer, isBinary: boolean): void {
    if (!this.#reading) return;
    if (isBinary === (this.encoding === "proto")) {
      this.handlers?.received(data);
      return;
    }
    const [right, wrong] = isBinary ? ["text", "binary"] : ["binary", "text"];
    this.#reading = false;
    const message = `a ${wrong} message where the subprotocol has ${right} ones`;
    this.handlers?.violated(new ProtocolViolation("bad-protocol", message));
  }

  /** One pong a ping, and none while the peer does not read: it cannot make this node queue them. */
  ping(data: Buffer): void {
    if (!this.#reading) return;
    if (this.writable) this.sendBytes(websocketFrame(OPCODE_PONG, data));
    this.handlers?.probed();
  }

  /** Counted like a ping: nothing here asks for one, and a flood of them costs as much to read. */
  pong(): void {
    if (this.#reading) this.handlers?.probed();
  }

  broken(reason: ViolationReason, message: string): void {
    if (!this.#reading) return;
    this.#reading = false;
    this.handlers?.broken(new ProtocolViolation(reason, message));
    this.endSending();
  }

  drained(): void {
    if (this.markDrained()) this.handlers?.drained();
  }

  closed(code: number): void {
    this.#reading = false;
    this.abort();
    this.handlers?.closed(code === NO_CLOSE_FRAME ? "transport-error" : "client-closed");
  }

  protected override endGracefully(code: number, reason: string): void {
    this.#reading = false;
    this.#readAtEnd = this.socket.bytesRead;
    this.socket.on("data", onDataAfterEnd);
    this.#websocket.close(code, shortened(reason));
  }

  /** The peer's Close is worth reading, what a flood sends before it is not. */
  stillSends(): void {
    if (this.socket.bytesRead - this.#readAtEnd > MAX_READ_AFTER_END) this.#websocket.pause();
  }
}

/** More than a client that behaves can have on its way. It is parsed, so it costs. */
const MAX_READ_AFTER_END = 65_536;

/** RFC 6455, section 5.5: a control frame holds 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

function shortened(reason: string): string {
  const bytes = new Uint8Array(MAX_REASON_BYTES);
  const { read } = new TextEncoder().encodeInto(reason, bytes);
  return reason.slice(0, read);
}

/** RFC 6455, section 7.1.5: the connection ended without a Close frame. */
const NO_CLOSE_FRAME = 1006;

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  // Always a Buffer: `binaryType` is left as it is.
  if (this instanceof GatewaySocket && Buffer.isBuffer(data)) {
    this.transport?.message(data, isBinary);
  }
}

function onPing(this: WebSocket, data: Buffer): void {
  if (this instanceof GatewaySocket) this.transport?.ping(data);
}

function onPong(this: WebSocket): void {
  if (this instanceof GatewaySocket) this.transport?.pong();
}

function onClose(this: WebSocket, code: number): void {
  if (this instanceof GatewaySocket) this.transport?.closed(code);
}

/** Node ends our side as well when this has passed, before the turn's frames would be written. */
function onEnd(this: Socket): void {
  this[kTransport]?.flush();
}

function onDataAfterEnd(this: Socket): void {
  this[kTransport]?.stillSends();
}

function onDrain(this: Socket): void {
  this[kTransport]?.drained();
}

function ignore(): void {}
