import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Record, RecordSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { EPOCH_MS } from "../process.ts";
import type { World } from "../world.ts";
import { RecentMessageIds } from "./broker-stream.ts";

type Body = NonNullable<MessageInitShape<typeof RecordSchema>["body"]>;

export interface Stored {
  sequence: number;
  storedAtMs: number;
  record: Record;
}

/** Longer than a sender tries for: internal/push/must-arrive.ts gives up before. */
const DUPLICATES_KNOWN_MS = 300_000;

interface Reader {
  position: number;
  record(stored: Stored): void;
  lost(): void;
}

/** The log of one partition. While the broker is away, what is appended waits. */
export class SimLog {
  readonly world: World;
  readonly records: Stored[] = [];
  downUntil = 0;
  /** The newest delivery that the log says each device has acknowledged. */
  readonly acked = new Map<string, number>();
  readonly #ids = new RecentMessageIds(DUPLICATES_KNOWN_MS);
  readonly #readers = new Set<Reader>();
  readonly #lanes = new Map<string, number>();
  /** The newest sequence that was given. */
  end: number;

  constructor(world: World) {
    this.world = world;
    // Like a log that other partitions and earlier messages share.
    this.end = Math.floor(world.between(0, 1_000_000));
  }

  get last(): number {
    return this.records.at(-1)?.sequence ?? 0;
  }

  /** Appends in the order of the calls of one appender, after a while. */
  append(appender: string, body: Body, number: number): void {
    const { world } = this;
    const at = Math.max(this.#lanes.get(appender) ?? 0, world.now + world.between(0, 15));
    this.#lanes.set(appender, at);
    world.at(at, () => this.#appendUp(appender, body, number));
  }

  /** Now, unless it has a message of this id. */
  store(payload: Uint8Array, messageId: string): { sequence: number; duplicate: boolean } {
    const { now } = this.world;
    const before = this.#ids.find(messageId, now);
    if (before !== undefined) return { sequence: before, duplicate: true };
    const { sequence } = this.#add(fromBinary(RecordSchema, payload));
    this.#ids.note(messageId, sequence, now);
    return { sequence, duplicate: false };
  }

  read(after: number, handler: Omit<Reader, "position">): () => void {
    const reader: Reader = { ...handler, position: after };
    this.#readers.add(reader);
    for (const stored of this.records) if (stored.sequence > after) this.#give(reader, stored);
    return () => this.#readers.delete(reader);
  }

  /** Nothing is ever deleted here, so what is not there is lost, and its place given to others. */
  holds(sequence: number, storedAtMs: number): boolean {
    const found = this.records.find((stored) => stored.sequence === sequence);
    return found?.storedAtMs === storedAtMs;
  }

  /** The newest records are gone, and their sequences are given again. Those that are gone. */
  loseTail(count: number): Stored[] {
    const gone = this.records.splice(Math.max(0, this.records.length - count));
    const first = gone[0];
    if (first === undefined) return gone;
    this.end = first.sequence - 1;
    this.#ids.forgetAbove(this.end);
    this.acked.clear();
    for (const { record } of this.records) this.#noteAcks(record);
    for (const reader of this.#readers) if (reader.position > this.end) reader.lost();
    return gone;
  }

  #appendUp(appender: string, body: Body, number: number): void {
    const { world } = this;
    if (world.now < this.downUntil) {
      this.#lanes.set(appender, Math.max(this.#lanes.get(appender) ?? 0, this.downUntil));
      world.at(this.downUntil, () => this.#appendUp(appender, body, number));
      return;
    }
    const atMs = BigInt(Math.round(EPOCH_MS + world.now));
    this.#add(create(RecordSchema, { atMs, number: BigInt(number), body }));
  }

  #add(record: Record): Stored {
    const { world } = this;
    this.end += 1 + Math.floor(world.between(0, 3));
    const storedAtMs = Math.floor(EPOCH_MS + world.now);
    const stored = { sequence: this.end, storedAtMs, record };
    this.records.push(stored);
    this.#noteAcks(record);
    for (const reader of this.#readers) this.#give(reader, stored);
    return stored;
  }

  #give(reader: Reader, stored: Stored): void {
    // As a reader does that has not noticed yet: what is not above its position, it has.
    if (stored.sequence <= reader.position) return;
    reader.position = stored.sequence;
    reader.record(stored);
  }

  #noteAcks({ body }: Record): void {
    if (body.case !== "acked") return;
    for (const { device, deliverySequence } of body.value.acks) {
      const before = this.acked.get(device) ?? 0;
      this.acked.set(device, Math.max(before, Number(deliverySequence)));
    }
  }
}

export function encodeRecord(atMs: number, body: Body): Uint8Array {
  return toBinary(RecordSchema, create(RecordSchema, { atMs: BigInt(Math.round(atMs)), body }));
}
