import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Ack,
  type Connection,
  ConnectionSchema,
  type Event,
  EventSchema,
  RecordSchema,
} from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import { type LogType, logSubject } from "../../../streams/subjects.ts";
import type { Appender } from "../../bus/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { EndReason } from "../../status/close.ts";
import type { LoggedConnection } from "./connection-log.ts";
import type { OpenConnections } from "./open-connections.ts";

/** A record stays well below what NATS takes as one message. */
const RECORD_BYTES = 128 * 1_024;
/** Roughly what a connection or an event without rooms takes at most. */
const CONNECTION_BYTES = 512;

type Body = MessageInitShape<typeof RecordSchema>["body"] & object;

/** One partition's share of the incarnation's records. */
interface Partition {
  /** Of the newest record, and of the newest that is known to be stored. */
  number: number;
  stored: number;
  /** What happened in this turn and is not appended yet, and who waits for it. */
  events: Event[];
  bytes: number;
  waiting: (() => void)[];
}

/**
 * Appends the records of one incarnation, numbered per partition. What one turn of the event loop says
 * of one partition goes in one record: when a thousand clients vanish at once, the log and its readers
 * see a few records.
 */
export class NodeRecords {
  readonly incarnation: string;
  readonly #appender: Appender;
  readonly #clock: Clock;
  readonly #partitions: Partition[];
  /** The partitions with events that are not appended yet. */
  readonly #changed = new Set<number>();
  #flushPlanned = false;
  #over = false;

  constructor(options: {
    incarnation: string;
    partitions: number;
    appender: Appender;
    clock: Clock;
  }) {
    this.incarnation = options.incarnation;
    this.#appender = options.appender;
    this.#clock = options.clock;
    this.#partitions = Array.from({ length: options.partitions }, () => ({
      number: 0,
      stored: 0,
      events: [],
      bytes: 0,
      waiting: [],
    }));
  }

  connected(connection: LoggedConnection, rooms: string[], stored: () => void): void {
    const value = { connection: this.#connection(connection, rooms) };
    this.#happened(connection, rooms, { case: "connected", value }, stored);
  }

  roomsChanged(connection: LoggedConnection, rooms: string[]): void {
    const value = { ...this.#reference(connection), rooms };
    this.#happened(connection, rooms, { case: "roomsChanged", value });
  }

  disconnected(connection: LoggedConnection, reason: EndReason): void {
    const value = { ...this.#reference(connection), reason };
    this.#happened(connection, [], { case: "disconnected", value });
  }

  /** Unnumbered: a record of this that is stored twice does no harm, and a lost one is made up for. */
  acked(partition: number, acks: Ack[]): void {
    this.#appendEvents(partition);
    const body = { case: "acked", value: { incarnation: this.incarnation, acks } } as const;
    const record = create(RecordSchema, { atMs: BigInt(this.#clock.now()), body });
    const subject = logSubject(partition, "acked", this.incarnation);
    this.#appender.append(subject, toBinary(RecordSchema, record));
  }

  digest(partition: number, { sum }: OpenConnections): void {
    const { incarnation } = this;
    const value = { incarnation, connections: sum.count, hash: BigInt(sum.hash) };
    this.#append(partition, "digest", { case: "digest", value });
  }

  /**
   * All connections of the partition, in as many records as it takes. `stored`: the last one is. Gives
   * each when it is in, so that the work may be spread over several turns; no other record of the
   * partition may be appended meanwhile.
   */
  *announced(
    partition: number,
    open: OpenConnections,
    stored: () => void,
  ): Generator<LoggedConnection, void> {
    let part: Connection[] = [];
    let bytes = 0;
    let first = true;
    for (const connection of open) {
      const rooms = [...connection.rooms];
      const size = roughSize(rooms);
      if (bytes + size > RECORD_BYTES && part.length > 0) {
        this.#announcedPart(partition, part, { first, last: false });
        part = [];
        bytes = 0;
        first = false;
      }
      part.push(this.#connection(connection, rooms));
      bytes += size;
      yield connection;
    }
    this.#announcedPart(partition, part, { first, last: true }, stored);
  }

  /** Appends what this turn has said so far. */
  flush(): void {
    for (const partition of this.#changed) this.#appendEvents(partition);
  }

  /** The incarnation is over: nothing is appended in its name any more. */
  end(): void {
    this.#over = true;
    this.#changed.clear();
  }

  #announcedPart(
    partition: number,
    connections: Connection[],
    place: { first: boolean; last: boolean },
    stored?: () => void,
  ): void {
    const value = { incarnation: this.incarnation, connections, ...place };
    this.#append(partition, "announced", { case: "announced", value }, stored && [stored]);
  }

  #happened(
    { partition }: LoggedConnection,
    rooms: readonly string[],
    body: MessageInitShape<typeof EventSchema>["body"] & object,
    stored?: () => void,
  ): void {
    const share = this.#share(partition);
    const size = roughSize(rooms);
    if (share.bytes + size > RECORD_BYTES) this.#appendEvents(partition);
    share.events.push(create(EventSchema, { body }));
    share.bytes += size;
    if (stored !== undefined) share.waiting.push(stored);
    this.#changed.add(partition);
    this.#planFlush();
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    this.#clock.turnEnd(() => {
      this.#flushPlanned = false;
      this.flush();
    });
  }

  #appendEvents(partition: number): void {
    if (!this.#changed.delete(partition)) return;
    const share = this.#share(partition);
    const { events, waiting } = share;
    share.events = [];
    share.bytes = 0;
    share.waiting = [];
    const value = { incarnation: this.incarnation, events };
    this.#append(partition, "events", { case: "events", value }, waiting);
  }

  /** `waiting` are told when it is stored. */
  #append(
    partition: number,
    type: LogType,
    body: Body,
    waiting: readonly (() => void)[] = [],
  ): void {
    if (this.#over) return;
    this.#appendEvents(partition);
    const share = this.#share(partition);
    share.number += 1;
    const { number, stored } = share;
    const record = create(RecordSchema, {
      atMs: BigInt(this.#clock.now()),
      number: BigInt(number),
      stored: BigInt(stored),
      body,
    });
    const subject = logSubject(partition, type, this.incarnation);
    this.#appender.append(subject, toBinary(RecordSchema, record), () => {
      share.stored = number;
      for (const told of waiting) told();
    });
  }

  #share(partition: number): Partition {
    const share = this.#partitions[partition];
    if (share === undefined) throw new RangeError(`there is no partition ${partition}`);
    return share;
  }

  #reference({ counter, app, device }: LoggedConnection) {
    return { connectionId: connectionId(this.incarnation, counter), app, device };
  }

  #connection(connection: LoggedConnection, rooms: string[]): Connection {
    const { counter, app, device, user, openedAtMs, client, address, businesses } = connection;
    const made = create(ConnectionSchema, {
      id: connectionId(this.incarnation, counter),
      app,
      device,
      user,
      openedAtMs: BigInt(openedAtMs),
      rooms,
      address,
      businesses,
      loginNumber: BigInt(connection.loginNumber),
      handledSequence: BigInt(connection.handledSequence),
    });
    if (client !== undefined) made.client = client;
    return made;
  }
}

/** In bytes; a character of a room takes three at most. */
function roughSize(rooms: readonly string[]): number {
  return rooms.reduce((sum, room) => sum + 3 * room.length, CONNECTION_BYTES);
}
