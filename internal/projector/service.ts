import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  BeatAnswerSchema,
  BeatSchema,
  ProjectorBeatSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  ALL_KEYS,
  NODE_BEATS_FILTER,
  PROJECTOR_BEAT_SUBJECT,
  partitionOfKey,
} from "../../streams/subjects.ts";
import type {
  Appender,
  Link,
  LogReader,
  Messages,
  Received,
  Subscription,
} from "../bus/contract.ts";
import type { Clock, Timer } from "../clock/clock.ts";
import { Slices } from "../clock/slices.ts";
import type { Logger } from "../observe/logger.ts";
import { Assignment } from "./assignment.ts";
import { NodeSender } from "./delivery/node-sender.ts";
import type { DeliveryStores } from "./delivery/partition-delivery.ts";
import { newDeliveryCounters } from "./delivery/state.ts";
import type { RouteTable } from "./fold/route-table.ts";
import { Hearing, TICK_MS } from "./hearing.ts";
import { LogEnd } from "./log-end.ts";
import { NodeLiveness } from "./node-liveness.ts";
import type { Buckets } from "./partition-store.ts";
import { Queries } from "./queries.ts";
import { Seat } from "./seat.ts";
import type { SnapshotLimits } from "./snapshot/snapshots.ts";

const BEAT_EVERY_TICKS = 1_000 / TICK_MS;

export interface ProjectorOptions {
  /** Never used by another process, also not by an earlier run of this one. */
  id: string;
  partitions: number;
  clock: Clock;
  log: Pick<Logger, "info" | "warn">;
  appender: Appender;
  reader: LogReader;
  buckets: Buckets;
  delivery: DeliveryStores;
  messages: Messages;
  link: Link;
  snapshotLimits?: SnapshotLimits;
}

/** A partition this projector owns, caught up with its log. */
export interface OwnedPartition {
  partition: number;
  table: RouteTable;
}

/**
 * The projector role: shares the partitions with the other projectors, owns its part of them, and
 * watches over the access nodes.
 */
export class Projector {
  readonly #options: ProjectorOptions;
  readonly #seats: Seat[];
  readonly #assignment: Assignment;
  readonly #hearing: Hearing;
  readonly #liveness: NodeLiveness;
  readonly #queries: Queries;
  /** Of must-arrive messages, in all the partitions it ever owned. */
  readonly counters = newDeliveryCounters();
  readonly #beat: Uint8Array;
  #subscriptions: Subscription[] = [];
  #timer: Timer | undefined;
  #ticks = 0;
  #stopping = false;

  constructor(options: ProjectorOptions) {
    const { id, clock, link } = options;
    this.#options = options;
    this.#assignment = new Assignment(id, clock);
    this.#hearing = new Hearing(clock, link);
    this.#liveness = new NodeLiveness({ ...options, hearing: this.#hearing });
    this.#beat = toBinary(ProjectorBeatSchema, create(ProjectorBeatSchema, { projector: id }));
    const sender = new NodeSender(options.messages, options.log);
    const delivery = { stores: options.delivery, counters: this.counters, sender };
    const logEnd = new LogEnd(options.reader);
    const slices = new Slices(clock);
    this.#seats = Array.from(
      { length: options.partitions },
      (_, partition) => new Seat({ ...options, partition, delivery, logEnd, slices }),
    );
    this.#queries = new Queries({
      ...options,
      ownerOf: (partition) => this.#seats[partition]?.live,
    });
  }

  /** True once every partition has an owner: the own ones caught up, the others with a lease. */
  get ready(): boolean {
    return !this.#stopping && this.#timer !== undefined && this.#seats.every((seat) => seat.served);
  }

  /** The partitions this projector answers for. */
  get owned(): OwnedPartition[] {
    const owned: OwnedPartition[] = [];
    for (const { partition, live } of this.#seats) {
      if (live !== undefined) owned.push({ partition, table: live.table });
    }
    return owned;
  }

  /** Puts that wait for an acknowledgement, over all partitions. */
  get backlog(): number {
    return this.#seats.reduce((sum, { live }) => sum + (live?.backlog ?? 0), 0);
  }

  /** How far it is behind the log, in the partition where it is most. */
  get lagMs(): number {
    return this.#seats.reduce((most, { owner }) => Math.max(most, owner?.lagMs ?? 0), 0);
  }

  /** Of must-arrive messages, in the partitions it owns now. */
  get deliveryGauges(): { undeliveredDevices: number; oldestUnacknowledgedMs: number } {
    const now = this.#options.clock.now();
    let undeliveredDevices = 0;
    let oldestUnacknowledgedMs = 0;
    for (const { live } of this.#seats) {
      undeliveredDevices += live?.delivery.devices ?? 0;
      const age = live?.delivery.oldestAgeMs(now) ?? 0;
      oldestUnacknowledgedMs = Math.max(oldestUnacknowledgedMs, age);
    }
    return { undeliveredDevices, oldestUnacknowledgedMs };
  }

  async start(): Promise<void> {
    const { buckets, messages, clock } = this.#options;
    this.#queries.start();
    this.#subscriptions.push(
      messages.subscribe(PROJECTOR_BEAT_SUBJECT, (message) => this.#projectorBeat(message)),
      messages.subscribe(NODE_BEATS_FILTER, (message) => this.#nodeBeat(message)),
    );
    const leases = await buckets.lease.watch(ALL_KEYS, (entry) =>
      this.#seats[partitionOfKey(entry.key)]?.observe(entry),
    );
    this.#subscriptions.push(leases);
    if (this.#stopping) leases.stop();
    else this.#timer = clock.every(TICK_MS, () => this.#tick());
  }

  /** Runs until the signal, then hands its partitions over. */
  async run(signal: AbortSignal): Promise<void> {
    await this.start();
    if (signal.aborted) return;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }

  /** Finishes the writes, and gives the leases up so that others need not wait for them to run out. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    await Promise.all(this.#seats.map((seat) => seat.close()));
    this.#timer?.cancel();
    this.#queries.stop();
    for (const subscription of this.#subscriptions) subscription.stop();
  }

  #tick(): void {
    this.#hearing.tick();
    this.#assignment.tick();
    for (const seat of this.#seats) {
      // While stopping, partitions are only kept until they are handed over.
      if (this.#stopping) seat.keep();
      else seat.tick(this.#assignment.preferred(seat.partition));
    }
    if (this.#stopping) return;
    this.#liveness.tick(this.owned);
    if (this.#ticks % BEAT_EVERY_TICKS === 0) {
      this.#options.messages.publish(PROJECTOR_BEAT_SUBJECT, this.#beat);
    }
    this.#ticks += 1;
  }

  #projectorBeat(message: Received): void {
    const { projector } = fromBinary(ProjectorBeatSchema, message.data);
    if (projector === this.#options.id) this.#hearing.echo();
    else this.#assignment.heard(projector);
  }

  /** Only an owner can tell whether a node is alive, so only owners answer. */
  #nodeBeat(message: Received): void {
    const { incarnation } = fromBinary(BeatSchema, message.data);
    this.#liveness.heard(incarnation);
    const { owned } = this;
    if (owned.length === 0) return;
    const dead = owned.some(({ table }) => table.dead.has(incarnation));
    message.respond(toBinary(BeatAnswerSchema, create(BeatAnswerSchema, { dead })));
  }
}
