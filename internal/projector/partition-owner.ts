import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { partitionQuerySubject } from "../../streams/subjects.ts";
import type { LogReader, Messages, Reading, Received, Subscription } from "../bus/contract.ts";
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
import { NodeOrders } from "./node-orders.ts";
import { loadPartition } from "./partition-store.ts";
import { PartitionWrites, type PartitionWritesOptions } from "./partition-writes.ts";
import { answerQuery } from "./query.ts";

/** Why an owner stopped without being asked to. */
export type OwnerFailure = WriteFailure | "log-lost" | "unavailable";

export interface PartitionOwnerOptions extends Omit<PartitionWritesOptions, "failed" | "room"> {
  log: Pick<Logger, "info" | "warn">;
  reader: LogReader;
  delivery: DeliveryShare;
  messages: Messages;
  /** Read the whole log, because the part after the checkpoint is not there any more. */
  fromStart: boolean;
  /** It has stopped and dropped its state. */
  failed(why: OwnerFailure): void;
}

type Stage = "loading" | "catching-up" | "live" | "closing" | "stopped";

/**
 * The one reader and writer of a partition: folds its log into a table, writes what changes into
 * the buckets, and moves the checkpoint behind the writes that were acknowledged.
 *
 * The ownership record says whose the partition is. What keeps an owner that has not heard yet of
 * its end from doing harm are the revisions: the checkpoint is claimed before the routes are read,
 * and each write names the revision it replaces, so of two owners the earlier one fails at its
 * next checkpoint, or at the next key that the later one has written.
 */
export class PartitionOwner {
  readonly #options: PartitionOwnerOptions;
  readonly #writes: PartitionWrites;
  readonly #orders: NodeOrders;
  readonly #delivery: PartitionDelivery;
  readonly #effects: Effect[] = [];
  #stage: Stage = "loading";
  #liveSince: number | undefined;
  #table = new RouteTable();
  /** What the checkpoint said when it was claimed: reading the log once more need not be told. */
  #claimedSequence = 0;
  #reading: Reading | undefined;
  #queries: Subscription | undefined;
  #closed: (() => void) | undefined;

  constructor(options: PartitionOwnerOptions) {
    const { messages, partition } = options;
    const failed = (why: WriteFailure) => this.#fail(why);
    this.#options = options;
    this.#orders = new NodeOrders(messages, partition);
    this.#delivery = new PartitionDelivery({
      ...options,
      ...options.delivery,
      connectionOf: (app, device) => connectionOfRoute(this.#table.device(app, device)?.route),
      failed,
    });
    this.#writes = new PartitionWrites({ ...options, failed, room: () => this.#reading?.resume() });
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
      this.#queries?.stop();
      if (this.#delivery.busy) await this.#delivery.settle();
      if (!this.#hasStopped()) await this.#finish();
    }
    this.abandon();
  }

  /** Resolves when the checkpoint is behind all writes, or it has stopped. */
  #finish(): Promise<void> {
    return new Promise((resolve) => {
      this.#closed = resolve;
      if (!this.#writes.checkpointing) this.#moveCheckpoint();
    });
  }

  /** Stops at once: nothing is written any more, and the state is dropped. */
  abandon(): void {
    if (this.#stage === "stopped") return;
    this.#stage = "stopped";
    this.#reading?.stop();
    this.#queries?.stop();
    this.#writes.close();
    this.#delivery.stop();
    this.#table = new RouteTable();
    this.#closed?.();
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
    const stored = await loadPartition(this.#options);
    if (this.#stage === "stopped") return;
    const { checkpoint, table, last } = stored;
    this.#claimedSequence = checkpoint.value?.sequence ?? 0;
    this.#table = table;
    this.#writes.loaded(stored);
    const isWhole = await this.#delivery.load(checkpoint.value ?? { read: 0 });
    if (this.#hasStopped()) return;
    if (!isWhole) return this.#fail("log-lost");
    this.#stage = "catching-up";
    this.#read(last);
  }

  #read(last: number): void {
    const { partition, reader, log } = this.#options;
    const reading = reader.read(partition, this.#table.position, {
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
    if (this.#stage === "catching-up" && this.#table.position >= last) this.#goLive();
  }

  #goLive(): void {
    const { partition, messages, log, clock } = this.#options;
    this.#stage = "live";
    this.#liveSince = clock.monotonic();
    log.info({ partition, devices: this.#table.devices.size }, "the partition is live");
    this.#queries = messages.subscribe(partitionQuerySubject(partition), (message) =>
      this.#answer(message),
    );
    for (const device of this.#table.devices.values())
      if (device.route.online) this.#writes.putUser(device.route);
    for (const node of this.#table.nodes.values()) kickDisplaced(node, this.#effects);
    this.#carryOut();
    this.#delivery.goLive();
    // The buckets may have been emptied, or orders lost while nobody owned the partition.
    this.#orders.compare();
  }

  #record(sequence: number, data: Uint8Array, storedAtMs: number): void {
    if (this.#stage !== "catching-up" && this.#stage !== "live") return;
    try {
      const record = fromBinary(RecordSchema, data);
      fold(this.#table, sequence, record, this.#effects);
      this.#delivery.record(sequence, record, storedAtMs);
    } catch (err) {
      const { log, partition } = this.#options;
      log.warn({ partition, sequence, err }, "a log record cannot be read and is left out");
    }
    this.#carryOut();
    // A stream that takes no events holds this reader up, rather than costing memory for all of them.
    if (this.#writes.crowded) this.#reading?.pause();
  }

  /** Orders wait until all of the log was read: what it says in between may be long over. */
  #carryOut(): void {
    for (const effect of this.#effects) {
      switch (effect.kind) {
        case "route":
          this.#routeChanged(effect);
          break;
        case "user":
          this.#writes.putUser(effect.device.route);
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

  #routeChanged({ before, after }: Effect & { kind: "route" }): void {
    this.#delivery.moved(after.app, after.device);
    this.#writes.routeChanged(before, after);
  }

  /** To be called once a second. */
  tick(): void {
    if (this.#stage !== "catching-up" && this.#stage !== "live") return;
    if (this.live) this.#writes.refresh(this.#table);
    const wanted = this.delivery.checkpoint(this.#table.position);
    if (this.#writes.checkpointing || wanted === this.#writes.checkpointed) return;
    if (this.live || wanted > this.#claimedSequence) this.#moveCheckpoint();
  }

  /** To behind everything folded so far. What is still to be delivered is read again. */
  #moveCheckpoint(): void {
    const { position } = this.#table;
    const sequence = this.delivery.checkpoint(position);
    const { newest } = this.#delivery;
    const read = { read: position, ...(newest !== undefined && { newest }) };
    const progress = { ...this.#table.progress(), sequence, ...read };
    this.#writes.moveCheckpoint(progress, () => {
      if (this.#stage !== "closing") return;
      if (this.#table.position === position) this.#closed?.();
      else this.#moveCheckpoint();
    });
  }

  #answer(message: Received): void {
    if (!this.live || !this.#options.allowed()) return;
    const answer = answerQuery(this.#table, fromBinary(PartitionQuerySchema, message.data));
    message.respond(toBinary(PartitionAnswerSchema, answer));
  }
}
