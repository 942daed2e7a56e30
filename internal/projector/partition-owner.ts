import { fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { LogReader, Messages, Subscription } from "../bus/contract.ts";
import type { Timer } from "../clock/clock.ts";
import type { Logger } from "../observe/logger.ts";
import { HoldfastError } from "../status/errors.ts";
import type { DeliveryFold } from "./delivery/delivery-fold.ts";
import {
  connectionOfRoute,
  type DeliveryShare,
  PartitionDelivery,
} from "./delivery/partition-delivery.ts";
import { type Effect, fold, kickDisplaced } from "./fold/fold.ts";
import { RouteTable } from "./fold/route-table.ts";
import type { WriteFailure } from "./key-writer.ts";
import { Lag } from "./lag.ts";
import { NodeOrders } from "./node-orders.ts";
import { loadPartition, type StoredPartition } from "./partition-store.ts";
import { PartitionWrites, type PartitionWritesOptions } from "./partition-writes.ts";
import { RecentlyLeft } from "./recently-left.ts";
import { SNAPSHOT_LIMITS, type SnapshotLimits, Snapshots } from "./snapshot/snapshots.ts";
import { SnapshotStore } from "./snapshot/store.ts";

const CHECKPOINT_EVERY_MS = 1_000;
const LAG_EVERY_MS = 500;
const FORGET_ORDERS_EVERY_MS = 60_000;
/** Devices that are forgotten in one turn. */
const FORGET_AT_ONCE = 1_000;

/** Why an owner stopped without being asked to. */
export type OwnerFailure = WriteFailure | "log-lost" | "unavailable";

export interface PartitionOwnerOptions
  extends Omit<PartitionWritesOptions, "failed" | "position" | "routeOf"> {
  log: Pick<Logger, "info" | "warn">;
  reader: LogReader;
  delivery: DeliveryShare;
  messages: Messages;
  /** Read the whole log, because the part after the checkpoint is not there any more. */
  fromStart: boolean;
  snapshotLimits?: SnapshotLimits;
  /** It has stopped and dropped its state. */
  failed(why: OwnerFailure): void;
}

type Stage = "loading" | "catching-up" | "live" | "closing" | "stopped";

/**
 * The one reader and writer of a partition: folds its log into a table, writes what changes into
 * the buckets, and moves the checkpoint behind the writes that were acknowledged.
 *
 * The lease says who should own the partition. What keeps an owner that is mistaken about its
 * lease from doing harm are the revisions: the checkpoint is claimed before the routes are read,
 * and each write names the revision it replaces, so of two owners the earlier one fails at its
 * next checkpoint, or at the next key that the later one has written.
 */
export class PartitionOwner {
  readonly #options: PartitionOwnerOptions;
  readonly #writes: PartitionWrites;
  readonly #orders: NodeOrders;
  readonly #delivery: PartitionDelivery;
  readonly #effects: Effect[] = [];
  readonly #snapshotStore: SnapshotStore;
  readonly #snapshots: Snapshots;
  readonly #left = new RecentlyLeft();
  readonly #lag: Lag;
  readonly #startedAt: number;
  #stage: Stage = "loading";
  #table = new RouteTable();
  /** The newest record of the log that was read. */
  #position = 0;
  /** What was found stored. */
  #begun: Pick<StoredPartition, "deliverAfter" | "doneUpTo"> = { deliverAfter: 0, doneUpTo: 0 };
  #waiting: { sequence: number; reached: () => void }[] = [];
  #reading: Subscription | undefined;
  #timers: Timer[] = [];
  #closed: (() => void) | undefined;

  constructor(options: PartitionOwnerOptions) {
    const {
      messages,
      partition,
      buckets,
      clock,
      snapshotLimits: limits = SNAPSHOT_LIMITS,
    } = options;
    const failed = (why: WriteFailure) => this.#fail(why);
    this.#options = options;
    this.#orders = new NodeOrders(messages, partition);
    this.#delivery = new PartitionDelivery({
      ...options,
      ...options.delivery,
      connectionOf: (app, device) => connectionOfRoute(this.#table.device(app, device)?.route),
      failed,
    });
    this.#writes = new PartitionWrites({
      ...options,
      failed,
      position: () => this.#position,
      routeOf: (app, device) => this.#table.device(app, device)?.route,
    });
    this.#snapshotStore = new SnapshotStore({ ...options, bucket: buckets.snapshot });
    this.#snapshots = new Snapshots({ ...options, store: this.#snapshotStore, limits });
    this.#lag = new Lag({ ...options, whenAt: (end, reached) => this.#whenAt(end, reached) });
    this.#startedAt = clock.monotonic();
  }

  get live(): boolean {
    return this.#stage === "live";
  }

  /** What the log says; all of it once `live`. */
  get table(): RouteTable {
    return this.#table;
  }

  /** The must-arrive messages of the partition. */
  get delivery(): DeliveryFold {
    return this.#delivery.fold;
  }

  /** Writes that are not yet acknowledged. */
  get backlog(): number {
    return this.#writes.backlog;
  }

  /** How long the oldest record that is not folded has waited, about. */
  get lagMs(): number {
    if (this.live) return this.#lag.ms;
    return this.#stage === "stopped" ? 0 : this.#options.clock.monotonic() - this.#startedAt;
  }

  /**
   * Calls back once the table has all that the log held at the time of this call: `true`, or `false` when that
   * takes longer than `withinMs` or cannot be found out.
   */
  whenExact(withinMs: number, done: (exact: boolean) => void): void {
    const { clock, logEnd, partition } = this.#options;
    let told = false;
    const tell = (exact: boolean) => {
      if (told) return;
      told = true;
      deadline.cancel();
      done(exact);
    };
    const deadline = clock.after(withinMs, () => tell(false));
    logEnd.of(partition).then(
      (end) => this.#whenAt(end, () => tell(true)),
      () => tell(false),
    );
  }

  async start(): Promise<void> {
    try {
      await this.#load();
    } catch (reason) {
      const { code, message } = HoldfastError.from(reason);
      this.#options.log.warn({ partition: this.#options.partition, code, err: reason }, message);
      this.#fail(code === "conflict" ? "conflict" : "unavailable");
    }
  }

  /** Finishes the writes and the checkpoint, then stops. Resolves also when that fails. */
  async close(): Promise<void> {
    if (this.#stage === "live") {
      this.#stage = "closing";
      this.#reading?.stop();
      if (this.#delivery.busy) await this.#delivery.settle();
      if (!this.#hasStopped()) await this.#finish();
    }
    this.abandon();
  }

  /** Resolves when the checkpoint is behind all writes, or it has stopped. */
  #finish(): Promise<void> {
    return new Promise((resolve) => {
      this.#closed = resolve;
      if (this.#writes.checkpointing) return;
      if (this.#isBehind()) this.#moveCheckpoint();
      else resolve();
    });
  }

  /** Stops at once: nothing is written any more, and the state is dropped. */
  abandon(): void {
    if (this.#stage === "stopped") return;
    this.#stage = "stopped";
    this.#reading?.stop();
    for (const timer of this.#timers) timer.cancel();
    this.#writes.close();
    this.#delivery.stop();
    this.#table = new RouteTable();
    this.#closed?.();
    for (const { reached } of this.#waiting.splice(0)) reached();
  }

  #fail(why: OwnerFailure): void {
    if (this.#stage === "stopped") return;
    this.abandon();
    this.#options.failed(why);
  }

  /** Asked again after a wait, in which it may have been stopped. */
  #hasStopped(): boolean {
    return this.#stage === "stopped";
  }

  async #load(): Promise<void> {
    const { clock } = this.#options;
    const stored = await loadPartition({ ...this.#options, snapshots: this.#snapshotStore });
    if (this.#stage === "stopped") return;
    const { checkpoint, table, snapshot, readAfter } = stored;
    this.#begun = stored;
    this.#table = table;
    this.#position = readAfter;
    this.#writes.loaded(stored);
    this.#snapshots.loaded(snapshot);
    await this.#options.slices.run(this.#noteWhoLeft(table));
    await this.#delivery.load(checkpoint.value.read);
    if (this.#hasStopped()) return;
    this.#stage = "catching-up";
    this.#timers.push(
      clock.every(CHECKPOINT_EVERY_MS, () => this.#tick()),
      clock.every(LAG_EVERY_MS, () => this.#lag.tick(table.nodes.size > 0)),
      clock.every(FORGET_ORDERS_EVERY_MS, () => table.rooms.forgetOrders()),
    );
    this.#read(stored.last);
  }

  *#noteWhoLeft(table: RouteTable) {
    const now = this.#options.clock.monotonic();
    let seen = 0;
    for (const device of table.devices.values()) {
      if (!device.route.online) this.#left.add(device, now, true);
      seen += 1;
      if (seen % FORGET_AT_ONCE === 0) yield;
    }
  }

  #read(last: number): void {
    const { partition, reader, log } = this.#options;
    const reading = reader.read(partition, this.#position, {
      record: (sequence, data) => {
        this.#record(sequence, data);
        if (this.#stage === "catching-up" && sequence >= last) this.#goLive();
      },
      lost: (why) => {
        log.warn({ partition, err: why }, "the log after the checkpoint is gone");
        this.#fail("log-lost");
      },
    });
    if (this.#stage === "stopped") reading.stop();
    else this.#reading = reading;
    if (this.#stage === "catching-up" && this.#position >= last) this.#goLive();
  }

  #goLive(): void {
    const { partition, log } = this.#options;
    this.#stage = "live";
    log.info({ partition, devices: this.#table.devices.size }, "the partition is live");
    for (const node of this.#table.nodes.values()) kickDisplaced(node, this.#effects);
    this.#carryOut();
    this.#delivery.goLive();
    this.#writes.refresh(this.#table);
    // The buckets may have been emptied, or orders lost while nobody owned the partition.
    this.#orders.compare();
  }

  #record(sequence: number, data: Uint8Array): void {
    if (this.#stage !== "catching-up" && this.#stage !== "live") return;
    this.#position = sequence;
    try {
      const record = fromBinary(RecordSchema, data);
      fold(this.#table, sequence, record, this.#effects);
      if (sequence > this.#begun.deliverAfter) this.#delivery.record(sequence, record);
    } catch (err) {
      const { log, partition } = this.#options;
      log.warn({ partition, sequence, err }, "a log record cannot be read and is left out");
    }
    this.#snapshots.folded();
    this.#lag.folded();
    this.#carryOut(sequence <= this.#begun.doneUpTo);
    if (this.#waiting.length > 0) this.#reached();
  }

  #whenAt(sequence: number, reached: () => void): void {
    if (this.#position >= sequence) reached();
    else this.#waiting.push({ sequence, reached });
  }

  #reached(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) {
      if (one.sequence <= this.#position) one.reached();
      else this.#waiting.push(one);
    }
  }

  /**
   * Orders wait until all of the log was read: what it says in between may be long over. `done`: an
   * owner before has told of the record, and has written what it made of the routes.
   */
  #carryOut(done = false): void {
    for (const effect of this.#effects) {
      switch (effect.kind) {
        case "route":
          this.#routeChanged(effect, done);
          break;
        case "user":
          if (!done) this.#writes.putUser(effect.device.route);
          break;
        case "kick":
          if (this.live) this.#orders.kick(effect.incarnation, effect.counter);
          break;
        case "announce":
          if (this.live) this.#orders.announce(effect.incarnation);
          break;
      }
    }
    this.#effects.length = 0;
  }

  #routeChanged({ device, before, after }: Effect & { kind: "route" }, done: boolean): void {
    if (!this.#options.allowed()) {
      this.#fail("lease");
      return;
    }
    if (!after.online) this.#left.add(device, this.#options.clock.monotonic(), done);
    this.#delivery.moved(after.app, after.device);
    if (!done) this.#writes.routeChanged(before, after);
  }

  #tick(): void {
    if (this.#stage === "closing" || this.#position < this.#begun.doneUpTo) return;
    if (this.live) {
      const { read, revision } = this.#writes.checkpoint;
      this.#writes.refresh(this.#table);
      this.#forgetWhoLeft(read);
      this.#snapshots.tick(this.#table, revision);
    }
    if (!this.#writes.checkpointing && this.#isBehind()) this.#moveCheckpoint();
  }

  /** Whether the checkpoint does not say what it could. */
  #isBehind(): boolean {
    const { sequence, read, snapshot } = this.#writes.checkpoint;
    const wanted = this.delivery.checkpoint(this.#position);
    // Reading the log once more need not be told.
    if (this.#stage === "catching-up") return wanted > sequence;
    const newest = this.#snapshots.newest?.generation ?? 0;
    return wanted !== sequence || this.#position !== read || newest !== snapshot;
  }

  #forgetWhoLeft(stored: number): void {
    const now = this.#options.clock.monotonic();
    for (const device of this.#left.take(now, stored, FORGET_AT_ONCE)) {
      this.#table.forget(device);
      this.#writes.forget(device.route);
    }
  }

  /** To behind everything folded so far. What is still to be delivered is read again. */
  #moveCheckpoint(): void {
    const read = this.#position;
    const sequence = this.delivery.checkpoint(read);
    const { newest } = this.#snapshots;
    const progress = { ...this.#table.progress(), sequence, read };
    const checkpoint = newest === undefined ? progress : { ...progress, snapshot: newest };
    this.#writes.moveCheckpoint(checkpoint, () => {
      this.#snapshots.named(newest?.generation ?? 0);
      if (this.#stage !== "closing") return;
      if (this.#position === read) this.#closed?.();
      else this.#moveCheckpoint();
    });
  }
}
