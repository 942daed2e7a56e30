import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Ack,
  type Connection,
  ConnectionSchema,
  RecordSchema,
} from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { connectionId } from "../../../streams/connection-id.ts";
import { type LogType, logSubject } from "../../../streams/subjects.ts";
import type { Appender } from "../../bus/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { EndReason } from "../../status/close.ts";
import type { LoggedConnection } from "./connection-log.ts";
import type { OpenConnections } from "./open-connections.ts";

/** A part of an announcement stays well below what NATS takes as one message. */
const PART_BYTES = 128 * 1_024;
/** Roughly what a connection without rooms takes at most. */
const CONNECTION_BYTES = 512;

type Body = MessageInitShape<typeof RecordSchema>["body"] & object;

/** Appends the records of one incarnation, numbered per partition. */
export class NodeRecords {
  readonly incarnation: string;
  readonly #appender: Appender;
  readonly #clock: Clock;
  readonly #numbers: number[];

  constructor(options: {
    incarnation: string;
    partitions: number;
    appender: Appender;
    clock: Clock;
  }) {
    this.incarnation = options.incarnation;
    this.#appender = options.appender;
    this.#clock = options.clock;
    this.#numbers = new Array<number>(options.partitions).fill(0);
  }

  connected(connection: LoggedConnection, rooms: string[], stored: () => void): void {
    const value = { connection: this.#connection(connection, rooms) };
    this.#append(connection.partition, "connected", { case: "connected", value }, stored);
  }

  roomsChanged(connection: LoggedConnection, rooms: string[]): void {
    const value = { ...this.#reference(connection), rooms };
    this.#append(connection.partition, "rooms", { case: "roomsChanged", value });
  }

  disconnected(connection: LoggedConnection, reason: EndReason): void {
    const value = { ...this.#reference(connection), reason };
    this.#append(connection.partition, "disconnected", { case: "disconnected", value });
  }

  /** Unnumbered: a record of this that is stored twice does no harm, and a lost one is made up for. */
  acked(partition: number, acks: Ack[]): void {
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
      const size = rooms.reduce((sum, room) => sum + 3 * room.length, CONNECTION_BYTES);
      if (bytes + size > PART_BYTES && part.length > 0) {
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

  #announcedPart(
    partition: number,
    connections: Connection[],
    place: { first: boolean; last: boolean },
    stored?: () => void,
  ): void {
    const value = { incarnation: this.incarnation, connections, ...place };
    this.#append(partition, "announced", { case: "announced", value }, stored);
  }

  #append(partition: number, type: LogType, body: Body, stored?: () => void): void {
    const number = (this.#numbers[partition] ?? 0) + 1;
    this.#numbers[partition] = number;
    const atMs = BigInt(this.#clock.now());
    const record = create(RecordSchema, { atMs, number: BigInt(number), body });
    const subject = logSubject(partition, type, this.incarnation);
    this.#appender.append(subject, toBinary(RecordSchema, record), stored);
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
    });
    if (client !== undefined) made.client = client;
    return made;
  }
}
