import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Endpoint, Order } from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  OrderAnswerSchema,
  OrderSchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Ack } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { incarnationOf } from "../../../streams/connection-id.ts";
import { ALL_NODES_SUBJECT, nodeControlSubject } from "../../../streams/subjects.ts";
import type {
  Appender,
  Link,
  Messages,
  NodeDeaths,
  Received,
  Subscription,
} from "../../bus/contract.ts";
import type { Clock, Random, Timer } from "../../clock/clock.ts";
import { inSlices } from "../../clock/slices.ts";
import type { EndReason } from "../../status/close.ts";
import { Announcements } from "./announcements.ts";
import type { ConnectionLog, ConnectionLogEvents, LoggedConnection } from "./connection-log.ts";
import { Departures, type DeparturesPace } from "./departures.ts";
import { BEAT_EVERY_MS, type BeatInit, NodePulse } from "./node-pulse.ts";
import { NodeRecords } from "./node-records.ts";
import { OpenConnections } from "./open-connections.ts";

const DIGEST_EVERY_BEATS = 30_000 / BEAT_EVERY_MS;
const SETTLE_CHECK_MS = 20;
/** Ends that are written in one turn when the node stops. */
const ENDS_AT_ONCE = 1_000;
/** A log that has not acknowledged for this long takes nothing: no use in giving it logins. */
const UNACKNOWLEDGED_MS = 10_000;

/** What others are told of the node once a second. */
export interface NodeStatus {
  endpoints: Pick<Endpoint, "url" | "protocol">[];
  draining: boolean;
  /** Event loop utilisation since it was last asked for, 0 to 1. */
  load: number;
  /** When a new client would have its turn at the earliest, 0: at once. */
  retryAfterMs: number;
  /** Clients welcomed a second, lately. */
  loginsPerSecond: number;
  labels?: Record<string, string>;
  weight?: number;
  maxConnections?: number;
  /** How many connections it had when its drain began; 0: it does not drain. */
  drainedFrom?: number;
}

export interface NodeLogOptions {
  /** The part of the incarnation that stays over restarts. */
  name: string;
  version: string;
  partitions: number;
  clock: Clock;
  random: Random;
  appender: Appender;
  messages: Messages;
  link: Link;
  deaths: NodeDeaths;
  /** Without a link for this long, the node sends its clients elsewhere. */
  isolatedAfterMs: number;
  /** The work of one turn when there is much of it; see inSlices. */
  sliceMs?: number;
  status(): NodeStatus;
  events: ConnectionLogEvents;
  /** Unset: as suits a node of many thousand connections. */
  departures?: DeparturesPace;
}

/**
 * The access node's side of the log: writes down what happens to its connections, and keeps up
 * with what the log says of the node.
 *
 * While the node does not know that its incarnation is alive, it appends nothing: what happens waits.
 * If it was declared dead meanwhile, what waits is dropped, and it tells of all its connections again
 * under a new incarnation.
 */
export class NodeLog implements ConnectionLog {
  readonly #options: NodeLogOptions;
  readonly #open: OpenConnections[];
  /** Connections that wait to be stored for the first time. */
  readonly #unstored = new Map<LoggedConnection, () => void>();
  /** Those of them that were stored when nobody could say whether the incarnation is over. */
  readonly #storedInDoubt = new Set<LoggedConnection>();
  readonly #pulse: NodePulse;
  readonly #everyNode: Subscription;
  readonly #digestPhase: number;
  #control: Subscription;
  #beganAt: number;
  #beats = 0;
  #records: NodeRecords;
  #announcements: Announcements;
  readonly #departures: Departures;
  /** What follows a resumption. */
  #catchingUp: Timer | undefined;
  #stopped = false;

  constructor(options: NodeLogOptions) {
    const { partitions, clock, random, appender, events } = options;
    this.#options = options;
    this.#open = Array.from({ length: partitions }, () => new OpenConnections());
    this.#digestPhase = Math.floor(random() * DIGEST_EVERY_BEATS);
    this.#beganAt = clock.now();
    this.#records = this.#newRecords();
    this.#announcements = this.#newAnnouncements();
    this.#departures = new Departures({
      clock,
      pace: options.departures,
      write: (connection, reason) => this.#ended(connection, reason),
    });
    this.#control = this.#obey(nodeControlSubject(this.incarnation));
    this.#everyNode = this.#obey(ALL_NODES_SUBJECT);
    appender.hold();
    this.#pulse = new NodePulse(this.incarnation, {
      ...options,
      beat: () => this.#beat(),
      ticked: () => this.#sendDueDigests(),
      held: () => appender.hold(),
      resumed: () => this.#resume(),
      declaredDead: () => this.#beginAgain(),
      isolated: () => events.isolated(),
      reunited: () => events.reunited(),
    });
  }

  /** Begins to beat: from now on clients may be sent here, so listen first. */
  start(): void {
    this.#pulse.start();
  }

  get incarnation(): string {
    return this.#records.incarnation;
  }

  get serving(): boolean {
    const { appender } = this.#options;
    return this.#pulse.check() && appender.ready && appender.oldestAgeMs < UNACKNOWLEDGED_MS;
  }

  get oldestAgeMs(): number {
    return this.#options.appender.oldestAgeMs;
  }

  /** Connections the log was told of. */
  get connections(): number {
    return this.#open.reduce((sum, open) => sum + open.size, 0);
  }

  opened(connection: LoggedConnection, stored: () => void): void {
    // Here and below: a node that was frozen must notice before it says anything more.
    this.#pulse.check();
    const rooms = [...connection.rooms];
    this.#of(connection).set(connection, rooms);
    this.#unstored.set(connection, stored);
    this.#announcements.record(connection, () =>
      this.#records.connected(connection, rooms, () => this.#stored(connection)),
    );
  }

  roomsChanged(connection: LoggedConnection): void {
    const open = this.#of(connection);
    if (!open.has(connection)) return;
    this.#pulse.check();
    const rooms = [...connection.rooms];
    open.set(connection, rooms);
    this.#announcements.record(connection, () => this.#records.roomsChanged(connection, rooms));
  }

  closed(connection: LoggedConnection, reason: EndReason): void {
    if (!this.#of(connection).has(connection)) return;
    this.#pulse.check();
    this.#unstored.delete(connection);
    this.#departures.add(connection, reason);
  }

  acknowledged(partition: number, acks: Ack[]): void {
    this.#records.acked(partition, acks);
  }

  async settled(): Promise<void> {
    const { appender, clock } = this.#options;
    for (;;) {
      this.#departures.write(ENDS_AT_ONCE);
      this.#records.flush();
      if ((appender.backlog === 0 && this.#departures.size === 0) || this.#stopped) return;
      await new Promise<void>((resolve) => clock.after(SETTLE_CHECK_MS, resolve));
    }
  }

  /** Stops beating and listening. What was appended goes out still. */
  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#pulse.stop();
    this.#announcements.stop();
    this.#departures.clear();
    this.#catchingUp?.cancel();
    this.#control.stop();
    this.#everyNode.stop();
  }

  #of({ partition }: LoggedConnection): OpenConnections {
    const open = this.#open[partition];
    if (open === undefined) throw new RangeError(`there is no partition ${partition}`);
    return open;
  }

  #ended(connection: LoggedConnection, reason: EndReason): void {
    // Only now: what the digests count is what the log was told.
    this.#of(connection).delete(connection);
    this.#announcements.record(connection, () => this.#records.disconnected(connection, reason));
  }

  /** Its client may be welcomed, unless the incarnation in whose name it is stored may be over. */
  #stored(connection: LoggedConnection): void {
    const stored = this.#unstored.get(connection);
    if (stored === undefined) return;
    if (!this.#pulse.check()) {
      this.#storedInDoubt.add(connection);
      return;
    }
    this.#unstored.delete(connection);
    stored();
  }

  #newRecords(): NodeRecords {
    const incarnation = incarnationOf(this.#options.name, this.#beganAt);
    return new NodeRecords({ ...this.#options, incarnation });
  }

  #newAnnouncements(): Announcements {
    const { clock, sliceMs } = this.#options;
    return new Announcements({
      clock,
      sliceMs,
      open: this.#open,
      records: this.#records,
      stored: (connection) => this.#stored(connection),
    });
  }

  #beat(): BeatInit {
    const { name, version, status } = this.#options;
    const { serving, connections } = this;
    return { ...status(), name, version, startedAtMs: BigInt(this.#beganAt), connections, serving };
  }

  /** What waited goes out. Orders may have been missed, so every partition is compared. */
  #resume(): void {
    const { appender, clock, sliceMs } = this.#options;
    appender.release();
    this.#catchingUp?.cancel();
    this.#catchingUp = inSlices(this.#catchUp(), (work) => work(), { clock, sliceMs });
  }

  *#catchUp(): Generator<() => void, void> {
    for (const connection of this.#storedInDoubt) {
      this.#storedInDoubt.delete(connection);
      yield () => this.#stored(connection);
    }
    for (const partition of this.#open.keys()) yield () => this.#digest(partition);
  }

  /**
   * The old incarnation is over, and with it everything that was not stored in its name.
   * @returns the new one.
   */
  #beginAgain(): string {
    const { appender, clock, events } = this.#options;
    this.#beganAt = Math.max(clock.now(), this.#beganAt + 1);
    this.#announcements.stop();
    this.#catchingUp?.cancel();
    this.#storedInDoubt.clear();
    for (const connection of this.#departures.waiting) this.#of(connection).delete(connection);
    this.#departures.clear();
    this.#records.end();
    appender.discard();
    this.#records = this.#newRecords();
    this.#announcements = this.#newAnnouncements();
    this.#control.stop();
    this.#control = this.#obey(nodeControlSubject(this.incarnation));
    appender.release();
    for (const [partition, open] of this.#open.entries()) {
      if (open.size > 0) this.#announcements.add(partition);
    }
    events.incarnationChanged(this.incarnation);
    return this.incarnation;
  }

  #digest(partition: number): void {
    const open = this.#open[partition];
    // An announcement says all that a digest could.
    if (open === undefined || this.#announcements.concerns(partition)) return;
    this.#records.digest(partition, open);
  }

  /** Every partition once in 30 s, spread over that time. */
  #sendDueDigests(): void {
    const { partitions } = this.#options;
    const due = (this.#beats + this.#digestPhase) % DIGEST_EVERY_BEATS;
    this.#beats += 1;
    if (!this.#pulse.check()) return;
    for (let partition = due; partition < partitions; partition += DIGEST_EVERY_BEATS) {
      this.#digest(partition);
    }
  }

  #obey(subject: string): Subscription {
    return this.#options.messages.subscribe(subject, (message) => this.#order(message));
  }

  #order(message: Received): void {
    const order: Order = fromBinary(OrderSchema, message.data);
    const { body } = order;
    switch (body.case) {
      case "announce":
        if (this.#pulse.check()) this.#announcements.add(body.value.partition);
        break;
      case "sendDigest":
        if (this.#pulse.check()) this.#digest(body.value.partition);
        break;
      default: {
        const taken = this.#options.events.order(order);
        message.respond(toBinary(OrderAnswerSchema, create(OrderAnswerSchema, { taken })));
      }
    }
  }
}
