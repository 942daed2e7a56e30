import type { VerifiedToken } from "../auth/claims.ts";
import type { Bearer } from "../auth/revocations.ts";
import type { Clock, Random } from "../clock/clock.ts";
import type { Wheel } from "../clock/wheel.ts";
import type { Logger } from "../observe/logger.ts";
import type { Doorway } from "../transport/doorway.ts";
import type { Deliveries } from "./delivery/deliveries.ts";
import type { SessionLimits } from "./limits.ts";
import type { AckLog } from "./log/ack-log.ts";
import type { ConnectionLog } from "./log/connection-log.ts";
import type { AccessMetrics } from "./metrics.ts";
import type { Rooms } from "./rooms/rooms.ts";
import type { SessionTable } from "./session/session-table.ts";
import type { Uplinks } from "./uplink/uplinks.ts";

export interface TokenVerifier {
  /** @throws HoldfastError `expired`, `unauthenticated` or `unavailable`, or rejects with one. */
  verify(token: string): VerifiedToken | Promise<VerifiedToken>;
  /** Whether a token that was good is no longer. */
  isRevoked(bearer: Bearer): boolean;
}

/** What the sessions of a node share. */
export interface SessionServices {
  readonly clock: Clock;
  readonly random: Random;
  readonly wheel: Wheel;
  readonly limits: SessionLimits;
  readonly metrics: AccessMetrics;
  readonly logger: Logger;
  readonly verifier: TokenVerifier;
  readonly log: ConnectionLog;
  readonly table: SessionTable;
  readonly rooms: Rooms;
  readonly deliveries: Deliveries;
  readonly acks: AckLog;
  readonly uplinks: Uplinks;
  readonly doorway: Doorway;
  /** Of the deployment. */
  readonly partitions: number;
  readonly state: Readonly<NodeState>;
}

export interface NodeState {
  /** True while clients are sent away: no logins. */
  draining: boolean;
  /** How many connections it had when its drain began. */
  drainedFrom?: number;
}
