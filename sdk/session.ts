import type { Close, Drain, Welcome } from "../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { ConnectionEvent, Session } from "./connection-state.ts";

/** Without a figure in Welcome. */
const DEFAULT_HEARTBEAT_SECONDS = 30;

// What the frames about the connection itself mean to the state machine.

export function sessionOf(welcome: Welcome): Session {
  return {
    connectionId: welcome.connectionId,
    node: welcome.node,
    heartbeatMs: (welcome.heartbeatSeconds || DEFAULT_HEARTBEAT_SECONDS) * 1000,
    resumed: welcome.resumed,
    maxFrameBytes: welcome.limits?.maxFrameBytes ?? 0,
    idleMs: (welcome.limits?.idleSeconds ?? 0) * 1000,
  };
}

export function closeEvent(id: number, { code, reason, reconnect }: Close): ConnectionEvent {
  const afterMs = reconnect?.afterMs ?? 0;
  const advised = reconnect?.endpoints ?? [];
  return { type: "ended", id, end: { code, reason, afterMs, advised } };
}

export function drainEvent(id: number, { withinMs, reconnect }: Drain): ConnectionEvent {
  return { type: "draining", id, withinMs, advised: reconnect?.endpoints ?? [] };
}
