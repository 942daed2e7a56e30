/** The real owner of a partition over a log and buckets in memory. */
import { create, toBinary } from "@bufbuild/protobuf";
import type {
  KeyedAppender,
  LogHandler,
  LogReader,
  Mailbox,
  Reading,
} from "../../internal/bus/contract.ts";
import { SharedTurns } from "../../internal/clock/shared-turns.ts";
import { NodeSender } from "../../internal/projector/delivery/node-sender.ts";
import { newDeliveryCounters } from "../../internal/projector/delivery/state.ts";
import { LogEnd } from "../../internal/projector/log-end.ts";
import {
  PartitionOwner,
  type PartitionOwnerOptions,
} from "../../internal/projector/partition-owner.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { decodeJson, type StateEvent } from "../../streams/records.ts";
import { type EventBody, eventsOf, type RecordBody } from "../support/log-events.ts";
import { quietLogger } from "../support/logger.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { type ConnectionInit, connection } from "./fold-support.ts";

/** The log of one partition. What is appended reaches the readers at once, or when they are let. */
export class MemoryLog implements LogReader {
  readonly records: { sequence: number; data: Uint8Array }[] = [];
  /** How often somebody wanted to know the end. */
  asked = 0;
  readonly #readers = new Map<LogHandler, number>();
  readonly #numbers = new Map<string, number>();
  #paused = false;

  read(_partition: number, after: number, handler: LogHandler): Reading {
    this.#readers.set(handler, after);
    queueMicrotask(() => this.#deliver());
    return {
      stop: () => this.#readers.delete(handler),
      pause: () => this.pause(),
      resume: () => this.resume(),
    };
  }

  async lastSequence(): Promise<number> {
    this.asked += 1;
    return this.records.at(-1)?.sequence ?? 0;
  }

  async holds(): Promise<boolean> {
    return true;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  connected(init: ConnectionInit): number {
    return this.events(init.id, { case: "connected", value: { connection: connection(init) } });
  }

  disconnected(id: string, device: string): number {
    const value = { connectionId: id, app: "demo", device, reason: "client-closed" };
    return this.events(id, { case: "disconnected", value });
  }

  events(id: string, ...bodies: EventBody[]): number {
    const incarnation = id.slice(0, id.lastIndexOf("."));
    const number = (this.#numbers.get(incarnation) ?? 0) + 1;
    this.#numbers.set(incarnation, number);
    return this.append(eventsOf(incarnation, ...bodies), number);
  }

  append(body: RecordBody, number = 0): number {
    const sequence = this.records.length + 1;
    const about = { atMs: BigInt(sequence), number: BigInt(number), stored: BigInt(number) };
    const data = toBinary(RecordSchema, create(RecordSchema, { ...about, body }));
    this.records.push({ sequence, data });
    this.#deliver();
    return sequence;
  }

  #deliver(): void {
    if (this.#paused) return;
    for (const [handler, position] of this.#readers) {
      this.#readers.set(handler, this.records.length);
      for (const { sequence, data } of this.records.slice(position)) {
        if (this.#readers.has(handler)) handler.record(sequence, data, 1);
      }
    }
  }
}

const NO_MAIL: Mailbox = {
  put() {},
  forget() {},
  async *list() {},
  load: async () => new Map(),
  purge: async () => {},
};

/** What outlives an owner. */
export class Ground {
  readonly clock = new VirtualClock();
  readonly log = new MemoryLog();
  readonly messages = new MemoryMessages();
  readonly buckets = {
    route: new MemoryBucket(),
    user: new MemoryBucket(),
    checkpoint: new MemoryBucket(),
    snapshot: new MemoryBucket(),
  };
  /** What business servers were told, repeats too. */
  readonly told: StateEvent[] = [];
  readonly failures: string[] = [];

  owner(id: string, options: Partial<PartitionOwnerOptions> = {}): PartitionOwner {
    const state: KeyedAppender = {
      append: (_key, _subject, payload, stored) => {
        this.told.push(decodeJson<StateEvent>(payload));
        stored(0, false);
      },
      forget() {},
      ready: true,
      backlog: 0,
    };
    const { clock, log, messages, buckets } = this;
    return new PartitionOwner({
      partition: 0,
      id,
      clock,
      slices: new SharedTurns(clock),
      log: quietLogger,
      state,
      reader: log,
      logEnd: new LogEnd(log),
      buckets,
      delivery: {
        stores: {
          mailbox: NO_MAIL,
          receipts: { write() {}, read: async () => [] },
          marks: new MemoryBucket(),
        },
        counters: newDeliveryCounters(),
        sender: new NodeSender(messages, quietLogger),
        lastRead: new Map(),
      },
      messages,
      fromStart: false,
      allowed: () => true,
      confirmed: async () => true,
      failed: (why) => this.failures.push(why),
      ...options,
    });
  }

  /** One that has the whole log. */
  async started(id: string, options: Partial<PartitionOwnerOptions> = {}): Promise<PartitionOwner> {
    const owner = this.owner(id, options);
    this.clock.every(1_000, () => owner.tick());
    await owner.start();
    await this.pass(0);
    return owner;
  }

  /** Time passes, and what is under way arrives. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; ; left -= 500) {
      this.clock.advance(Math.min(500, Math.max(0, left)));
      for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
      if (left <= 0) return;
    }
  }

  stored(device: string): unknown {
    const value = this.buckets.route.entries.get(`0.demo.${device}`)?.value;
    return value && decodeJson(value);
  }
}
