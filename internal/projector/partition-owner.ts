import { fromBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import type { LogReader, Messages, Reading } from "../bus/contract.ts";
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

/** The orders of rooms that nobody pages through any more are forgotten in every so many ticks. */
const FORGET_ORDERS_EVERY = 60;
/** Devices that are forgotten in one turn. */
const FORGET_AT_ONCE = 1_000;

/** Why an owner stopped without being asked to. */
export type OwnerFailure = WriteFailure | "log-lost" | "unavailable";

export interface PartitionOwnerOptions
  extends Omit<PartitionWritesOptions, "failed" | "position" | "routeOf" | "room"> {
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
 * The ownership record says whose the partition is. What keeps an owner that has not heard yet of
 * its end from doing harm: each write names the revision it replaces, a route says which record made it,
 * and the checkpoint is claimed before anything is read, so the earlier owner fails at its next one.
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
  #liveSince: number | undefined;
  #table = new RouteTable();
  /** The newest record of the log that was read. */
  #position = 0;
  /** What the checkpoint said when it was claimed. */
  #claimed = 0;
  /** What was found stored. */
  #begun: Pick<StoredPartition, "deliverAfter" | "doneUpTo"> = { deliverAfter: 0, doneUpTo: 0 };
  #waiting: { sequence: number; reached: () => void }[] = [];
  #reading: Reading | undefined;
  #ticks = 0;
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
      room: () => this.#reading?.resume(),
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

  /** When it had read all of the log, in monotonic ms. */
  get liveSince(): number | undefined {
    return this.#liveSince;
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

  /** It may write again: what waited is written. */
  resume(): void {
    this.#writes.resume();
    this.#delivery.resume();
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
    const stored = await loadPartition({ ...this.#options, snapshots: this.#snapshotStore });
    if (this.#stage === "stopped") return;
    const { checkpoint, table, snapshot, readAfter } = stored;
    this.#begun = stored;
    this.#claimed = checkpoint.value.sequence;
    this.#table = table;
    this.#position = readAfter;
    this.#writes.loaded(stored);
    this.#snapshots.loaded(snapshot);
    await this.#options.slices.run(this.#noteWhoLeft(table));
    const isWhole = await this.#delivery.load(checkpoint.value);
    if (this.#hasStopped()) return;
    if (!isWhole) return this.#fail("log-lost");
    this.#stage = "catching-up";
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
      record: (sequence, data, storedAtMs) => {
        this.#record(sequence, data, storedAtMs);
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
    const { partition, log, clock } = this.#options;
    this.#stage = "live";
    this.#liveSince = clock.monotonic();
    log.info({ partition, devices: this.#table.devices.size }, "the partition is live");
    for (const node of this.#table.nodes.values()) kickDisplaced(node, this.#effects);
    this.#carryOut();
    this.#delivery.goLive();
    this.#writes.refresh(this.#table);
    // The buckets may have been emptied, or orders lost while nobody owned the partition.
    this.#orders.compare();
  }

  #record(sequence: number, data: Uint8Array, storedAtMs: number): void {
    if (this.#stage !== "catching-up" && this.#stage !== "live") return;
    this.#position = sequence;
    try {
      const record = fromBinary(RecordSchema, data);
      fold(this.#table, sequence, record, this.#effects);
      if (sequence > this.#begun.deliverAfter) {
        this.#delivery.record(sequence, record, storedAtMs);
      }
    } catch (err) {
      const { log, partition } = this.#options;
      log.warn({ partition, sequence, err }, "a log record cannot be read and is left out");
    }
    this.#snapshots.folded();
    this.#lag.folded();
    this.#carryOut(sequence <= this.#begun.doneUpTo);
    if (this.#waiting.length > 0) this.#reached();
    // A stream that takes no events holds this reader up, rather than costing memory for all of them.
    if (this.#writes.crowded) this.#reading?.pause();
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
    if (!after.online) this.#left.add(device, this.#options.clock.monotonic(), done);
    this.#delivery.moved(after.app, after.device);
    if (!done) this.#writes.routeChanged(before, after);
  }

  /** To be called once a second. */
  tick(): void {
    if (this.#stage !== "catching-up" && this.#stage !== "live") return;
    this.#lag.tick(this.#table.nodes.size > 0);
    this.#ticks += 1;
    if (this.#ticks % FORGET_ORDERS_EVERY === 0) this.#table.rooms.forgetOrders();
    if (this.#position < this.#begun.doneUpTo) return;
    if (this.live) {
      const { revision, checkpoint } = this.#writes;
      this.#writes.refresh(this.#table);
      this.#forgetWhoLeft(checkpoint.read);
      if (revision !== undefined) this.#snapshots.tick(this.#table, revision);
    }
    if (!this.#writes.checkpointing && this.#isBehind()) this.#moveCheckpoint();
  }

  /** Whether the checkpoint does not say what it could. */
  #isBehind(): boolean {
    const { sequence, read, snapshot } = this.#writes.checkpoint;
    const wanted = this.delivery.checkpoint(this.#position);
    // Reading the log once more need not be told.
    if (this.#stage === "catching-up") return wanted > this.#claimed;
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
    const { newest } = this.#delivery;
    const { newest: snapshot } = this.#snapshots;
    const checkpoint = {
      ...this.#table.progress(),
      sequence,
      read,
      ...(newest !== undefined && { newest }),
      ...(snapshot !== undefined && { snapshot }),
    };
    this.#writes.moveCheckpoint(checkpoint, () => {
      this.#snapshots.named(snapshot?.generation ?? 0);
      if (this.#stage !== "closing") return;
      if (this.#position === read) this.#closed?.();
      else this.#moveCheckpoint();
    });
  }
}
