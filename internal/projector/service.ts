import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BeatSchema, ProjectorBeatSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { NODE_BEATS_FILTER, PROJECTOR_BEAT_SUBJECT } from "../../streams/subjects.ts";
import type {
  Appender,
  Bucket,
  KeyedAppender,
  Link,
  LogReader,
  Messages,
  Received,
  Subscription,
} from "../bus/contract.ts";
import type { Clock, Timer } from "../clock/clock.ts";
import { SharedTurns } from "../clock/shared-turns.ts";
import type { Logger } from "../observe/logger.ts";
import { assign } from "./assignment.ts";
import { NodeSender } from "./delivery/node-sender.ts";
import type { DeliveryStores } from "./delivery/partition-delivery.ts";
import { newDeliveryCounters } from "./delivery/state.ts";
import type { RouteTable } from "./fold/route-table.ts";
import { Hearing, TICK_MS } from "./hearing.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { LogEnd } from "./log-end.ts";
import { Members } from "./members.ts";
import { NodeLiveness } from "./node-liveness.ts";
import { OwnershipRecords } from "./ownership.ts";
import type { Buckets } from "./partition-store.ts";
import { Queries } from "./queries.ts";
import { type OwnershipCounters, Seat } from "./seat.ts";
import type { SnapshotLimits } from "./snapshot/snapshots.ts";

const TICKS_PER_SECOND = 1_000 / TICK_MS;
/** How long a partition that kept failing here is left to others. */
const DECLINE_MS = 60_000;
const LAG_UNIT_MS = 50;
/** How long the end waits for partitions to be handed over. */
const STOP_TIMEOUT_MS = 8_000;

export interface ProjectorOptions {
  /** "<name>-<when it began>": never used by another process, also not by an earlier run of this one. */
  id: string;
  partitions: number;
  clock: Clock;
  log: Pick<Logger, "info" | "warn">;
  /** For what the projector itself adds to the log, and nothing else: a stream that takes nothing holds up its appender. */
  appender: Appender;
  /** For stream HF_STATE, and nothing else: a stream that takes nothing holds up its appender. */
  state: KeyedAppender;
  /** Send nothing while it is not known whether the partitions are still owned. */
  held: readonly Pick<Appender, "hold" | "release">[];
  reader: LogReader;
  buckets: Buckets & { lease: Bucket };
  delivery: DeliveryStores;
  messages: Messages;
  link: Link;
  heartbeat: Heartbeat;
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
  readonly #records: OwnershipRecords;
  readonly #seats: Seat[];
  /** Those that are not as they should be. */
  readonly #unsettled = new Set<Seat>();
  readonly #members: Members;
  readonly #hearing: Hearing;
  readonly #liveness: NodeLiveness;
  readonly #queries: Queries;
  /** Of must-arrive messages, in all the partitions it ever owned. */
  readonly counters = newDeliveryCounters();
  readonly ownership: OwnershipCounters = { ownershipChanges: 0, loads: 0, ownerFailures: 0 };
  /** By partition: until when it is left to others, in monotonic ms. */
  readonly #declined = new Map<number, number>();
  #wanted: string[] = [];
  /** What the assignment is made from may be another. */
  #reassign = true;
  #held = false;
  #subscriptions: Subscription[] = [];
  #timer: Timer | undefined;
  #ticks = 0;
  #stopping = false;
  #saidLagMs = 0;
  #vacant: (() => void) | undefined;

  constructor(options: ProjectorOptions) {
    const { id, partitions, clock, link, buckets } = options;
    this.#options = options;
    this.#hearing = new Hearing(clock, link);
    this.#members = new Members(id, clock, this.#hearing);
    this.#liveness = new NodeLiveness({ ...options, hearing: this.#hearing });
    this.#records = new OwnershipRecords({
      id,
      partitions,
      bucket: buckets.lease,
      changed: (partition) => this.#recordChanged(partition),
    });
    const sender = new NodeSender(options.messages, options.log);
    const stores = options.delivery;
    const shared = {
      ...options,
      delivery: { stores, counters: this.counters, sender, lastRead: new Map() },
      records: this.#records,
      counters: this.ownership,
      logEnd: new LogEnd(options.reader),
      slices: new SharedTurns(clock),
    };
    this.#seats = Array.from(
      { length: partitions },
      (_, partition) =>
        new Seat({
          ...shared,
          partition,
          allowed: () => this.#allowed(partition),
          decline: () => this.#decline(partition),
        }),
    );
    this.#queries = new Queries({
      ...options,
      ownerOf: (partition) => this.#seats[partition]?.live,
    });
  }

  /** True once every partition has an owner: the own ones caught up, the others of somebody who is alive. */
  get ready(): boolean {
    if (this.#stopping || this.#timer === undefined) return false;
    return this.#seats.every(({ partition, live }) => {
      const owner = this.#records.owner(partition);
      return owner === this.#options.id ? live !== undefined : this.#members.isAlive(owner);
    });
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
    const { messages, clock, link, heartbeat } = this.#options;
    this.#subscriptions.push(
      messages.subscribe(PROJECTOR_BEAT_SUBJECT, (message) => this.#projectorBeat(message)),
      messages.subscribe(NODE_BEATS_FILTER, (message) => this.#nodeBeat(message)),
      link.watch(() => this.#doubtAll()),
    );
    this.#queries.start();
    heartbeat.moved();
    this.#say();
    const records = await this.#records.follow();
    this.#subscriptions.push(records);
    if (this.#stopping) return records.stop();
    this.#hearing.tick();
    this.#timer = clock.every(TICK_MS, () => this.#tick());
  }

  /** Runs until the signal, then hands its partitions over. */
  async run(signal: AbortSignal): Promise<void> {
    await this.start();
    if (signal.aborted) return;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }

  /** Finishes the writes, and gives the partitions up so that others take them at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.#timer !== undefined) await this.#handAllOver();
    this.#timer?.cancel();
    this.#queries.stop();
    for (const subscription of this.#subscriptions) subscription.stop();
  }

  #handAllOver(): Promise<void> {
    return new Promise((resolve) => {
      this.#vacant = resolve;
      this.#options.clock.after(STOP_TIMEOUT_MS, resolve);
      // Others take only from who declines.
      this.#say();
      for (const seat of this.#seats) {
        seat.close();
        this.#unsettled.add(seat);
      }
      this.#actAll();
    });
  }

  #tick(): void {
    const { heartbeat, link } = this.#options;
    heartbeat.moved();
    this.#look();
    if (this.#members.tick()) this.#reassign = true;
    if (this.#ticks % TICKS_PER_SECOND === 0) {
      if (link.connected && this.#records.anyDoubted) this.#records.askAgain();
      this.#acceptAgain();
      for (const seat of this.#seats) seat.tick();
      if (this.#saidLagMs !== this.#lagToSay) this.#say();
      if (!this.#stopping) this.#liveness.tick(this.owned);
    }
    this.#ticks += 1;
    if (this.#reassign && !this.#stopping) this.#assign();
    this.#actAll();
  }

  #assign(): void {
    this.#reassign = false;
    const declined = new Set(this.#declined.keys());
    this.#wanted = assign(this.#members.list(declined), this.#records.owners);
    for (const seat of this.#seats) this.#unsettled.add(seat);
  }

  #actAll(): void {
    const { id } = this.#options;
    for (const seat of this.#unsettled) {
      const { partition } = seat;
      const owner = this.#records.owner(partition);
      const wanted = !this.#stopping && this.#wanted[partition] === id;
      // Who is not heard had better own nothing.
      const free = !this.#members.isAlive(owner) && !this.#hearing.deaf;
      if (seat.act({ wanted, free })) this.#unsettled.delete(seat);
    }
    if (this.#stopping && this.#seats.every(({ vacant }) => vacant)) this.#vacant?.();
  }

  #recordChanged(partition: number): void {
    const seat = this.#seats[partition];
    if (seat === undefined) return;
    this.#members.named(this.#records.owner(partition));
    this.#reassign = true;
    this.#unsettled.add(seat);
    if (this.#held && !this.#records.anyDoubted && this.#options.link.connected) this.#hold(false);
    seat.recordChanged();
    if (this.#stopping) this.#actAll();
  }

  /** Whether this projector may write as the owner of the partition, at this moment. */
  #allowed(partition: number): boolean {
    // What was waiting for a process that was frozen may be handled before its tick comes.
    if (this.#hearing.wasFrozen) this.#look();
    return this.#records.allowed(partition);
  }

  #look(): void {
    const { wasFrozen } = this.#hearing;
    this.#hearing.tick();
    if (wasFrozen) this.#doubtAll();
  }

  /** Others may have taken over meanwhile. Nothing is written before the records were read again. */
  #doubtAll(): void {
    this.#hold(true);
    this.#liveness.takeBack();
    this.#records.doubtAll();
  }

  #hold(held: boolean): void {
    this.#held = held;
    for (const appender of this.#options.held) {
      if (held) appender.hold();
      else appender.release();
    }
  }

  #decline(partition: number): void {
    this.#declined.set(partition, this.#options.clock.monotonic() + DECLINE_MS);
    this.#reassign = true;
    this.#say();
  }

  #acceptAgain(): void {
    const now = this.#options.clock.monotonic();
    for (const [partition, until] of this.#declined) {
      if (now < until) continue;
      this.#declined.delete(partition);
      this.#reassign = true;
      this.#say();
    }
  }

  #say(): void {
    const { id: projector, partitions, heartbeat } = this.#options;
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    const declined = this.#stopping ? all : [...this.#declined.keys()];
    const lagMs = this.#lagToSay;
    this.#saidLagMs = lagMs;
    const beat = create(ProjectorBeatSchema, { projector, lagMs, declined });
    heartbeat.say(toBinary(ProjectorBeatSchema, beat));
  }

  /** Whoever hears it cares for no less. */
  get #lagToSay(): number {
    return Math.round(this.lagMs / LAG_UNIT_MS) * LAG_UNIT_MS;
  }

  #projectorBeat(message: Received): void {
    const beat = fromBinary(ProjectorBeatSchema, message.data);
    if (beat.projector === this.#options.id) this.#hearing.echo();
    else this.#members.heard(beat);
  }

  #nodeBeat(message: Received): void {
    this.#liveness.heard(fromBinary(BeatSchema, message.data).incarnation);
  }
}
