import type { Socket } from "node:net";
import type { Encoding } from "../wire/codec.ts";
import type { FrameForm, SharedFrame } from "../wire/shared-frame.ts";
import { flushSoon } from "./flush.ts";
import type { Protocol, Transport } from "./transport.ts";

/** This much waiting is written at once instead of at the end of the turn: it is a good write already. */
const COALESCE_BYTES = 16_384;
/** Below this, copying frames into one buffer is cheaper than a write of many parts (measured). */
const COPY_BYTES = 16_384;

/**
 * The part of a transport that writes to a socket, the same for all of them: the frames of one turn
 * of the event loop become one write. A single frame, the usual case, is written as it is: the bytes
 * are shared and never copied.
 */
export abstract class SocketTransport implements Transport {
  abstract readonly protocol: Protocol;
  readonly encoding: Encoding;
  readonly address: string;
  protected readonly socket: Socket;
  readonly #form: FrameForm;
  /** Sent in this turn: nothing, one frame's bytes, or those of several. */
  #pending: Buffer | Buffer[] | undefined;
  #pendingBytes = 0;
  #writable = true;
  #ended = false;

  constructor(socket: Socket, options: { address: string; encoding: Encoding; form: FrameForm }) {
    this.socket = socket;
    this.address = options.address;
    this.encoding = options.encoding;
    this.#form = options.form;
  }

  get writable(): boolean {
    return this.#writable;
  }

  get buffered(): number {
    return this.#pendingBytes + this.socket.writableLength;
  }

  send(frame: SharedFrame): void {
    this.sendBytes(frame.bytes(this.#form));
  }

  sendNow(frames: readonly SharedFrame[]): void {
    const [only] = frames;
    if (frames.length === 1 && only !== undefined && this.#pending === undefined && !this.#ended) {
      this.#writable = this.socket.write(only.bytes(this.#form));
      return;
    }
    for (const frame of frames) this.send(frame);
    this.flush();
  }

  sizeOf(frame: SharedFrame): number {
    return frame.bytes(this.#form).length;
  }

  close(code: number, reason: string): void {
    if (this.#ended) return;
    this.endSending();
    this.endGracefully(code, reason);
  }

  abort(): void {
    this.#ended = true;
    this.#pending = undefined;
    this.#pendingBytes = 0;
    this.socket.destroy();
  }

  /** Writes what the turn has gathered. */
  flush(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const bytes = this.#pendingBytes;
    this.#pending = undefined;
    this.#pendingBytes = 0;
    if (!Array.isArray(pending)) {
      this.#writable = this.socket.write(pending);
    } else if (bytes <= COPY_BYTES) {
      this.#writable = this.socket.write(Buffer.concat(pending, bytes));
    } else {
      this.socket.cork();
      for (const part of pending) this.#writable = this.socket.write(part);
      this.socket.uncork();
    }
  }

  /** The rest of `close`, when everything sent has been handed to the socket. */
  protected abstract endGracefully(code: number, reason: string): void;

  /** What was sent is written, and what is sent from now on is not. */
  protected endSending(): void {
    this.flush();
    this.#ended = true;
  }

  protected sendBytes(bytes: Buffer): void {
    if (this.#ended) return;
    const pending = this.#pending;
    if (pending === undefined) {
      this.#pending = bytes;
      flushSoon(this);
    } else if (Array.isArray(pending)) {
      pending.push(bytes);
    } else {
      this.#pending = [pending, bytes];
    }
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes >= COALESCE_BYTES) this.flush();
  }

  /** The socket has taken everything. @returns whether that is news. */
  protected markDrained(): boolean {
    if (this.#writable) return false;
    this.#writable = true;
    return true;
  }
}
