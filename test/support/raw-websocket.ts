/**
 * A WebSocket client that writes what it is told, byte by byte and all at once: several frames in one
 * write, a flood, or something that is no WebSocket.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { eventually } from "./eventually.ts";

const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const FIN = 0x80;
const MASKED = 0x80;

/** A client's frame: masked, with a mask that changes nothing. `first`: FIN, reserved bits and opcode. */
export function frame(first: number, payload: Uint8Array = Buffer.of()): Buffer {
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.of(first, MASKED | length)
      : Buffer.of(first, MASKED | 126, length >> 8, length & 0xff);
  return Buffer.concat([head, Buffer.alloc(4), payload]);
}

export const textFrame = (text: string) => frame(FIN | OPCODE.text, Buffer.from(text));
export const pongFrame = () => frame(FIN | OPCODE.pong);
export const closeFrame = (code: number) =>
  frame(FIN | OPCODE.close, Buffer.of(code >> 8, code & 0xff));

export class RawWebSocket implements Disposable {
  readonly socket: Socket;
  /** What text messages said, in their order. */
  readonly messages: string[] = [];
  /** The code of the Close frame; "cut" when the connection ended without one. */
  code: number | "cut" | undefined;
  #held = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.#read(Buffer.from(chunk)));
    socket.on("close", () => {
      this.code ??= "cut";
    });
  }

  static async open(url: URL, encoding: "json" | "proto" = "json"): Promise<RawWebSocket> {
    const socket = connect(Number(url.port), url.hostname);
    socket.on("error", () => {});
    socket.setNoDelay();
    socket.write(
      `GET ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
        `Sec-WebSocket-Protocol: holdfast.v1.${encoding}\r\n\r\n`,
    );
    const [answer] = await once(socket, "data");
    if (!String(answer).startsWith("HTTP/1.1 101 ")) throw new Error(`refused: ${answer}`);
    return new RawWebSocket(socket);
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The close code; waits for the end. */
  closed(withinMs = 30_000): Promise<number | "cut"> {
    return eventually("the WebSocket is closed", () => this.code, { withinMs });
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    for (;;) {
      const [first = 0, second = 0] = this.#held;
      const head = second === 126 ? 4 : 2;
      if (this.#held.length < head) return;
      const end = head + (second === 126 ? this.#held.readUInt16BE(2) : second);
      if (this.#held.length < end) return;
      const payload = this.#held.subarray(head, end);
      this.#held = this.#held.subarray(end);
      if ((first & 15) === OPCODE.text) this.messages.push(payload.toString());
      if ((first & 15) === OPCODE.close) this.code ??= payload.readUInt16BE(0);
    }
  }
}
