/**
 * A way to an access node. The SDK brings WebSocket (websocket.ts, browser and Node) and TCP
 * (node-tcp.ts, Node only).
 */
export interface Transport {
  /** Whether this can open the URL on this platform. */
  accepts(url: string): boolean;
  /** Starts to connect. Throws only when the URL itself is bad. */
  open(url: string, subprotocol: string, receiver: LinkReceiver): Link;
}

/** What a link reports: `opened` at most once, then frames, and `closed` once, last. */
export interface LinkReceiver {
  opened(): void;
  /** One whole frame, as bytes or as text, whichever the subprotocol uses. */
  frame(data: Uint8Array | string): void;
  closed(code: number, reason: string): void;
}

/** A connection to an access node, opening, open or closing. */
export interface Link {
  /** Only after `opened`. What is sent after the link ended is dropped. */
  send(data: Uint8Array | string): void;
  /** What was sent before still goes out. Does nothing on a link that has ended. */
  close(): void;
}
