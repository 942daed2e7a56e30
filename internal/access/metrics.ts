import { CLOSE, type EndReason, type SilentEnd } from "../status/close.ts";

/**
 * What an access node counts. Plain numbers, because most are touched for every message;
 * internal/observe reads them when somebody asks.
 */
export interface AccessMetrics {
  /** Open now, logged in or not. */
  connections: number;
  /** Logged in now. */
  sessions: number;
  /** Rooms with a member here now. */
  rooms: number;
  /** Welcomed since the start. */
  logins: number;
  framesIn: number;
  bytesIn: number;
  framesOut: number;
  bytesOut: number;
  /** Messages of low priority dropped because the client was behind. */
  dropped: number;
  /** Messages of rooms, zones and everybody that came from the stream. */
  channelMessages: number;
  /** Envelopes of the push API. */
  deliveries: number;
  /** Must-arrive messages written. */
  mustArrive: number;
  /** Must-arrive messages that were left out, because something before them was missing here. */
  gaps: number;
  /** Acknowledgements of clients, and those of what they were never sent. */
  acks: number;
  acksRefused: number;
  /** Second copies of messages of high priority. */
  duplicatesDropped: number;
  uplinks: number;
  /** Uplinks for businesses that are not registered. */
  uplinksUnknown: number;
  /** Answers of businesses that came after their time, or a second time, and were dropped. */
  uplinkAnswersLate: number;
  /** Faults that cost a connection. */
  faults: number;
  /** Ended connections, by why. */
  ends: Record<EndReason, number>;
}

const SILENT_ENDS: readonly SilentEnd[] = ["client-closed", "transport-error", "node-down"];

export function newAccessMetrics(): AccessMetrics {
  const reasons = [...Object.keys(CLOSE), ...SILENT_ENDS];
  return {
    connections: 0,
    sessions: 0,
    rooms: 0,
    logins: 0,
    framesIn: 0,
    bytesIn: 0,
    framesOut: 0,
    bytesOut: 0,
    dropped: 0,
    channelMessages: 0,
    deliveries: 0,
    mustArrive: 0,
    gaps: 0,
    acks: 0,
    acksRefused: 0,
    duplicatesDropped: 0,
    uplinks: 0,
    uplinksUnknown: 0,
    uplinkAnswersLate: 0,
    faults: 0,
    ends: Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<EndReason, number>,
  };
}
