import type { Connected, Record as LogRecord } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { parseConnectionId } from "../../../streams/connection-id.ts";
import {
  type Checkpoint,
  decodeJson,
  encodeJson,
  type MailboxMark,
  type ReadRecord,
} from "../../../streams/records.ts";
import { fullFilter, fullKey, parseFullKey } from "../../../streams/subjects.ts";
import type { Bucket, LogReader, Mailbox, Receipts } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import type { Logger } from "../../observe/logger.ts";
import { KeyWriter, type Permission, type WriteFailure } from "../key-writer.ts";
import { DeliveryFold } from "./delivery-fold.ts";
import type { DeliveryEffect } from "./effects.ts";
import { HandledMarks } from "./handled-marks.ts";
import { LogLifts, loadLifts } from "./log-lifts.ts";
import { findMail, purgeMail } from "./mail-work.ts";
import type { NodeSender, Send, SendObserver } from "./node-sender.ts";
import type { ConnectionOf, DeliveryCounters, DeliveryLimits } from "./state.ts";

const TICK_MS = 100;
const MARKS_WINDOW = 64;
/** How long a handover waits for what is on its way to the mailbox. */
const CLOSE_TIMEOUT_MS = 2_000;

/** What must-arrive delivery needs of NATS besides plain messages. */
export interface DeliveryStores {
  mailbox: Mailbox;
  receipts: Receipts;
  /** `hf_mailbox` */
  marks: Bucket;
}

/** What the partitions of a projector share. */
export interface DeliveryShare {
  stores: DeliveryStores;
  counters: DeliveryCounters;
  sender: NodeSender;
  /** The newest record that was read of each partition. */
  lastRead: Map<number, ReadRecord>;
}

export interface PartitionDeliveryOptions extends DeliveryShare, Permission {
  partition: number;
  clock: Clock;
  log: Pick<Logger, "info" | "warn">;
  reader: Pick<LogReader, "holds">;
  connectionOf: ConnectionOf;
  /** The log is read from its start. */
  fromStart: boolean;
  /** Unset: DELIVERY_LIMITS. */
  limits?: Partial<DeliveryLimits>;
  failed(why: WriteFailure): void;
}

/** The delivery fold of a partition at work: carries out its effects, and tells it what came of them. */
export class PartitionDelivery implements SendObserver {
  readonly #options: PartitionDeliveryOptions;
  readonly #fold: DeliveryFold;
  readonly #marks: KeyWriter<MailboxMark>;
  readonly #handled: HandledMarks;
  #lifts = new LogLifts();
  #newest: ReadRecord | undefined;
  #timer: Timer | undefined;
  #flushPlanned = false;
  #live = false;
  #stage: "running" | "closing" | "stopped" = "running";
  /** Operations on the mailbox without an answer. */
  #underWay = 0;
  #settled: (() => void) | undefined;

  constructor(options: PartitionDeliveryOptions) {
    const { stores, counters, clock, allowed, confirmed, failed, connectionOf, partition } =
      options;
    this.#options = options;
    this.#fold = new DeliveryFold(connectionOf, options.limits, counters);
    this.#marks = new KeyWriter<MailboxMark>({
      bucket: stores.marks,
      window: MARKS_WINDOW,
      clock,
      encode: encodeJson,
      decode: decodeJson,
      judge: () => "write",
      allowed,
      confirmed,
      failed,
    });
    this.#handled = new HandledMarks(stores.marks, partition);
  }

  get fold(): DeliveryFold {
    return this.#fold;
  }

  /**
   * Reads what waits in the mailbox. `before`: how far an earlier owner has read the log.
   * False if the log has lost its end since: what is in the place of it is to be read from the start.
   * @throws HoldfastError when it cannot be read.
   */
  async load(before: Pick<Checkpoint, "read" | "newest">): Promise<boolean> {
    const { partition, clock, stores, reader, lastRead } = this.#options;
    const { lifts, isWhole } = await loadLifts({
      partition,
      bucket: stores.marks,
      reader,
      read: [lastRead.get(partition), before.newest].filter((one) => one !== undefined),
      nowMs: clock.now(),
    });
    if (!isWhole && !this.#options.fromStart) return false;
    this.#lifts = lifts;
    this.#newest = before.newest;
    this.#fold.readBefore(before.read);
    for await (const { key, value, revision } of stores.marks.list(fullFilter(partition))) {
      const mark = value === undefined ? undefined : decodeJson<MailboxMark>(value);
      this.#marks.known(key, revision, mark);
      if (mark?.full !== true) continue;
      const { app, device } = parseFullKey(key);
      this.#fold.markFound(app, device, clock.now());
    }
    for await (const page of stores.mailbox.list(partition)) {
      for (const header of page) this.#fold.mailFound(header, clock.now());
    }
    return true;
  }

  /** The newest record that was read; undefined when none was. */
  get newest(): ReadRecord | undefined {
    return this.#newest;
  }

  /** A record of the log. `message` bytes of it are copied. */
  record(sequence: number, { body, atMs: at }: LogRecord, storedAtMs: number): void {
    const nowMs = this.#options.clock.now();
    const atMs = Number(at);
    this.#noteRead({ sequence, storedAtMs, readAtMs: nowMs });
    const delivery = sequence + this.#lifts.of(storedAtMs);
    if (body.case === "accepted") {
      this.#fold.accepted(sequence, body.value, { sequence: delivery, atMs, nowMs });
    } else if (body.case === "acked") {
      this.#fold.acked(sequence, body.value, atMs, nowMs);
    } else if (body.case === "events") {
      const record = { recordSequence: sequence, delivery, atMs, nowMs };
      for (const { body: event } of body.value.events) {
        if (event.case === "connected") this.#claimed(event.value, record);
      }
    } else {
      return;
    }
    this.#planFlush();
  }

  /** What a device says at its login that it has handled already. */
  #claimed(
    { connection }: Connected,
    record: { recordSequence: number; delivery: number; atMs: number; nowMs: number },
  ): void {
    const deliverySequence = Number(connection?.handledSequence ?? 0);
    // A delivery above the login itself is none of this log's.
    if (connection === undefined || deliverySequence === 0) return;
    if (deliverySequence >= record.delivery) return;
    const { app, device, id } = connection;
    const { incarnation: node } = parseConnectionId(id);
    const { recordSequence, atMs, nowMs } = record;
    const ack = { recordSequence, atMs, deliverySequence, node, connection: id };
    this.#fold.claimed(app, device, ack, nowMs);
  }

  #noteRead(record: ReadRecord): void {
    this.#newest = record;
    this.#options.lastRead.set(this.#options.partition, record);
  }

  /** The device's connection may have changed. */
  moved(app: string, device: string): void {
    this.#fold.moved(app, device, this.#options.clock.now());
    this.#planFlush();
  }

  goLive(): void {
    this.#fold.goLive(this.#options.clock.now());
    this.#live = true;
    this.#planFlush();
  }

  /** What waited for permission goes out. */
  resume(): void {
    this.#marks.resume();
    this.#planFlush();
  }

  /** True while something is on its way to the mailbox. */
  get busy(): boolean {
    return this.#underWay > 0;
  }

  /** Begins nothing more, and waits a while for what is on its way to the mailbox. */
  settle(): Promise<void> {
    this.#stage = "closing";
    this.#timer?.cancel();
    return new Promise((resolve) => {
      this.#settled = resolve;
      this.#options.clock.after(CLOSE_TIMEOUT_MS, resolve);
    });
  }

  stop(): void {
    if (this.#stage === "stopped") return;
    this.#stage = "stopped";
    this.#timer?.cancel();
    this.#marks.close();
    // Whoever owns the partition now stores it again.
    this.#options.stores.mailbox.forget(this);
    this.#settled?.();
  }

  written({ inbox, entry, connection }: Send, atMs: number): void {
    if (this.#stage !== "running") return;
    this.#fold.written(inbox, entry, connection, atMs || this.#options.clock.now());
    this.#planFlush();
  }

  notWritten({ inbox, connection }: Send): void {
    if (this.#stage !== "running") return;
    this.#fold.notWritten(inbox, connection, this.#options.clock.now());
    this.#planFlush();
  }

  /** Once for all the records that were read in one go, so that what goes to one node goes together. */
  #planFlush(): void {
    this.#watchTime();
    if (this.#flushPlanned || !this.#fold.hasEffects || this.#stage !== "running") return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#stage !== "running" || !this.#options.allowed()) return;
    for (const effect of this.#fold.takeEffects()) this.#carryOut(effect);
  }

  /** Time matters only while there are messages. */
  #watchTime(): void {
    if (!this.#live || this.#stage !== "running" || this.#timer !== undefined) return;
    if (this.#fold.devices === 0) return;
    const { clock } = this.#options;
    this.#timer = clock.every(TICK_MS, () => {
      this.#fold.tick(clock.now());
      if (this.#fold.devices === 0) {
        this.#timer?.cancel();
        this.#timer = undefined;
      }
      this.#planFlush();
    });
  }

  #carryOut(effect: DeliveryEffect): void {
    switch (effect.kind) {
      case "send":
        this.#options.sender.send(effect, this);
        break;
      case "mail":
        this.#mail(effect);
        break;
      case "load":
        void this.#load(effect);
        break;
      case "purge":
        void this.#purge(effect);
        break;
      case "receipt":
        this.#options.stores.receipts.write(effect.receipt);
        break;
      case "mark": {
        const { app, device, full } = effect;
        this.#marks.put(fullKey(this.#options.partition, app, device), { full });
        break;
      }
    }
  }

  #mail({ inbox, entry, about, message }: DeliveryEffect & { kind: "mail" }): void {
    const { stores, clock } = this.#options;
    const { app, device } = inbox;
    const { sequence, expiresAtMs } = entry;
    this.#underWay += 1;
    stores.mailbox.put(
      { app, device, sequence, expiresAtMs, ...about, message },
      {
        owner: this,
        stored: (mailedAs) =>
          this.#answered(() => this.#fold.mailed(inbox, entry, mailedAs, clock.now())),
        refused: (why) =>
          this.#answered(() => this.#fold.notMailed(inbox, entry, why.message, clock.now())),
      },
    );
  }

  async #load(effect: DeliveryEffect & { kind: "load" }): Promise<void> {
    const { clock, stores } = this.#options;
    const { inbox, entries } = effect;
    this.#underWay += 1;
    try {
      const found = await findMail(effect, stores, this.#handled);
      this.#answered(() => this.#fold.loaded(inbox, entries, found, clock.now()));
    } catch (reason) {
      this.#warn(reason);
      this.#answered(() => this.#fold.notLoaded(inbox, clock.now()));
    }
  }

  async #purge({ inbox, purge }: DeliveryEffect & { kind: "purge" }): Promise<void> {
    const { stores, clock } = this.#options;
    this.#underWay += 1;
    try {
      await purgeMail(inbox, purge, stores, this.#handled);
      this.#answered(() => this.#fold.purged(inbox, clock.now()));
    } catch (reason) {
      this.#warn(reason);
      this.#answered(() => this.#fold.notPurged(inbox, clock.now()));
    }
  }

  #answered(tell: () => void): void {
    this.#underWay -= 1;
    if (this.#stage !== "stopped") tell();
    if (this.#underWay === 0) this.#settled?.();
    this.#planFlush();
  }

  #warn(reason: unknown): void {
    const { log, partition } = this.#options;
    log.warn({ partition, err: reason }, "must-arrive: tried again later");
  }
}

/** The connection of a route, for the fold. */
export function connectionOfRoute(
  route: { online: boolean; connection: string; node: string } | undefined,
): ReturnType<ConnectionOf> {
  if (route?.online !== true) return undefined;
  const { connection: id, node } = route;
  return { id, node, counter: parseConnectionId(id).counter };
}
