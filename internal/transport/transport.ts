/**
 * What the session layer needs of a connection, whatever carries it. The adapters beside this file
 * give it over WebSocket and TCP; test/transport/contract.test.ts is what they have in common.
 */
import type { SilentEnd } from "../status/close.ts";
import type { Encoding } from "../wire/codec.ts";
import type { SharedFrame } from "../wire/shared-frame.ts";
import type { ProtocolViolation } from "../wire/violation.ts";

export type Protocol = "websocket" | "tcp";

/** One connection: frames out, and the end. */
export interface Transport {
  readonly protocol: Protocol;
  readonly encoding: Encoding;
  /** Remote address, without port. */
  readonly address: string;
  /**
   * False while the peer reads more slowly than it is sent to; `drained` tells when it is true again.
   * Frames sent meanwhile are kept in memory, so hold them back where they can be dropped.
   */
  readonly writable: boolean;
  /** Bytes that wait in this process. */
  readonly buffered: number;
  /** Frames sent within one turn of the event loop become one write. Does nothing after the end. */
  send(frame: SharedFrame): void;
  /** Frames that are written now, after what was sent in this turn: for those who count the time. */
  sendNow(frames: readonly SharedFrame[]): void;
  /** What the frame takes on this connection, in bytes. */
  sizeOf(frame: SharedFrame): number;
  /** Ends the connection once everything sent is written. A peer that does not end it too is cut off. */
  close(code: number, reason: string): void;
  /** Cuts the connection. */
  abort(): void;
}

/** What happens on a connection. None is called again after `closed`, and nothing of them may throw. */
export interface TransportHandlers {
  /** One frame of the client's. `data` is valid during the call only. */
  received(data: Uint8Array): void;
  /** The client showed on the transport's own level that it lives: a WebSocket ping or pong. */
  probed(): void;
  /** The client does not keep to our protocol; nothing more is read from it. */
  violated(violation: ProtocolViolation): void;
  /**
   * The client does not keep to the protocol of the transport itself, which ends the connection in its own
   * way: nothing more is read, and what is sent during this call is the last.
   */
  broken(violation: ProtocolViolation): void;
  drained(): void;
  /** The connection is over: once, whoever ended it. */
  closed(end: Exclude<SilentEnd, "node-down">): void;
}

/** Called with each new connection. */
export type Accept = (transport: Transport) => TransportHandlers;

export interface Listener extends AsyncDisposable {
  readonly protocol: Protocol;
  /** Where clients connect to, with the real port: "ws://127.0.0.1:9000/connect". */
  readonly url: string;
  readonly port: number;
  /** Takes no more connections; those there stay. Idempotent, as disposal is. */
  stop(): Promise<void>;
}

export interface TlsOptions {
  /** PEM. */
  cert: string;
  key: string;
}

/** Where to listen and what to bear there. */
export interface ListenerOptions {
  host: string;
  /** 0: a free one. */
  port: number;
  /** Several processes share the port, and the kernel spreads the connections. */
  reusePort: boolean;
  tls: TlsOptions | undefined;
  maxFrameBytes: number;
  /** From the connection to its first byte of meaning: TLS handshake and HTTP upgrade. */
  openTimeoutMs: number;
  /** How long a peer may take to end a connection that was closed. */
  closeTimeoutMs: number;
}
