/**
 * The contract between the session layer and the node's side of the log: sessions say what
 * happens to their connections, the log writes it down, keeps the node alive in the eyes of the
 * projectors, and hands orders back. `NodeLog` implements it.
 */

import type { Order } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Ack } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { Client } from "../../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import type { EndReason } from "../../status/close.ts";

/** A logged-in connection. Sessions implement it, so that it costs no second object. */
export interface LoggedConnection {
  /** Unique in this process, growing; stays when the node takes a new incarnation. */
  readonly counter: number;
  readonly app: string;
  readonly device: string;
  /** "" for a device without a user. */
  readonly user: string;
  readonly partition: number;
  /** Unix milliseconds. */
  readonly openedAtMs: number;
  readonly client: Client | undefined;
  readonly address: string;
  /** What the client said at its login that it uses. */
  readonly businesses: string[];
  readonly rooms: Iterable<string>;
  /** Grows with each login of the device, by the client's count; 0 when it does not count. */
  readonly loginNumber: number;
  /** The last must-arrive delivery that the client said at its login it has handled. */
  readonly handledSequence: number;
}

export interface ConnectionLog {
  /** The node's present incarnation; connection ids are `<incarnation>.<counter>`. */
  readonly incarnation: string;
  /**
   * False while the node is cut off, or the log does not acknowledge what it is told, or more waits for
   * it than the node may hold: take no logins.
   */
  readonly serving: boolean;
  /** For how long the oldest of what waits for the log has been waiting. */
  readonly oldestAgeMs: number;
  /** Makes the node known to the others, who send clients from then on. */
  start(): void;
  /** `stored` is called when the log has the connection, which may be welcomed then. */
  opened(connection: LoggedConnection, stored: () => void): void;
  /** Its rooms are now what `connection.rooms` says. */
  roomsChanged(connection: LoggedConnection): void;
  closed(connection: LoggedConnection, reason: EndReason): void;
  /** What connections of one partition have acknowledged. */
  acknowledged(partition: number, acks: Ack[]): void;
  /** Resolves when everything said so far is stored, or the log was disposed of before that. */
  settled(): Promise<void>;
}

/** What the log asks of the session layer. */
export interface ConnectionLogEvents {
  /** The node has a new incarnation, so every connection has a new id. */
  incarnationChanged(incarnation: string): void;
  /**
   * Kick, drain, undrain or set rooms; the log answers the others itself.
   * @returns false when it names a connection that is not here.
   */
  order(order: Order): boolean;
  /** Without a link for so long that clients are better off elsewhere. */
  isolated(): void;
  /** That is over: who is still here may stay. */
  reunited(): void;
}
