import type { Rate } from "../clock/token-bucket.ts";

/** What one connection may take, and how long. */
export interface SessionLimits {
  /** From the connection to the Login. */
  loginTimeoutMs: number;
  /**
   * From the Login to the Welcome. Longer than a log takes to find a new leader: what was accepted is
   * not given up for that.
   */
  storeTimeoutMs: number;
  /** How often a client in the foreground is to ping. */
  heartbeatMs: number;
  /** And one in the background. */
  backgroundHeartbeatMs: number;
  /** A client is closed as idle after this many heartbeats without a frame. */
  idleHeartbeats: number;
  maxFrameBytes: number;
  maxRooms: number;
  frameRate: Rate;
  /** With more than this waiting for the client, messages of low priority are dropped. */
  softLimitBytes: number;
  /** With more than this, it is closed as a slow consumer: at once, or for rooms when it does not read. */
  hardLimitBytes: number;
  /** Uplinks to one business without an answer. */
  maxUplinks: number;
}

/** A client in the background may save its battery: it pings this many times less often. */
const BACKGROUND_FACTOR = 4;

export function sessionLimits(options: {
  heartbeatSeconds: number;
  maxFrameBytes: number;
}): SessionLimits {
  const heartbeatMs = options.heartbeatSeconds * 1_000;
  return {
    loginTimeoutMs: 5_000,
    storeTimeoutMs: 20_000,
    heartbeatMs,
    backgroundHeartbeatMs: heartbeatMs * BACKGROUND_FACTOR,
    // Two pings may be lost or late.
    idleHeartbeats: 2.5,
    maxFrameBytes: options.maxFrameBytes,
    maxRooms: 100,
    frameRate: { perSecond: 100, burst: 300 },
    softLimitBytes: 262_144,
    hardLimitBytes: 1_048_576,
    maxUplinks: 32,
  };
}
