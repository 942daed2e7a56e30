import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { type Record, RecordSchema } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { World } from "../world.ts";

type Body = NonNullable<MessageInitShape<typeof RecordSchema>["body"]>;

export interface Stored {
  sequence: number;
  record: Record;
}

/** The log of one partition. While the broker is away, what is appended waits. */
export class SimLog {
  readonly world: World;
  readonly records: Stored[] = [];
  downUntil = 0;
  /** The newest delivery that the log says each device has acknowledged. */
  readonly acked = new Map<string, number>();
  readonly #readers = new Set<(stored: Stored) => void>();
  readonly #lanes = new Map<string, number>();
  #sequence = 0;

  constructor(world: World) {
    this.world = world;
    // Like a log that other partitions and earlier messages share.
    this.#sequence = Math.floor(world.between(0, 1_000_000));
  }

  get last(): number {
    return this.records.at(-1)?.sequence ?? 0;
  }

  /** Appends in the order of the calls of one appender, after a while. */
  append(appender: string, body: Body, number: number, stored?: (sequence: number) => void): void {
    const { world } = this;
    const at = Math.max(this.#lanes.get(appender) ?? 0, world.now + world.between(0, 15));
    this.#lanes.set(appender, at);
    world.at(at, () => this.#appendUp(appender, body, number, stored));
  }

  read(after: number, record: (stored: Stored) => void): () => void {
    for (const stored of this.records) if (stored.sequence > after) record(stored);
    this.#readers.add(record);
    return () => this.#readers.delete(record);
  }

  #appendUp(
    appender: string,
    body: Body,
    number: number,
    stored?: (sequence: number) => void,
  ): void {
    const { world } = this;
    if (world.now < this.downUntil) {
      this.#lanes.set(appender, Math.max(this.#lanes.get(appender) ?? 0, this.downUntil));
      world.at(this.downUntil, () => this.#appendUp(appender, body, number, stored));
      return;
    }
    this.#sequence += 1 + Math.floor(world.between(0, 3));
    const sequence = this.#sequence;
    const atMs = BigInt(Math.round(world.now));
    const record = create(RecordSchema, { atMs, number: BigInt(number), body });
    const entry = { sequence, record };
    this.records.push(entry);
    this.#noteAcks(record);
    stored?.(sequence);
    for (const reader of this.#readers) reader(entry);
  }

  #noteAcks({ body }: Record): void {
    if (body.case !== "acked") return;
    for (const { device, deliverySequence } of body.value.acks) {
      const before = this.acked.get(device) ?? 0;
      this.acked.set(device, Math.max(before, Number(deliverySequence)));
    }
  }
}
