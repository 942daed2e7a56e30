import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DeliverAnswerSchema,
  DeliverSchema,
  type Delivery,
  DeliverySchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { Record as LogRecord } from "../../../proto/gen/holdfast/log/v1/log_pb.ts";
import { parseConnectionId } from "../../../streams/connection-id.ts";
import { decodeJson, encodeJson, type MailboxMark } from "../../../streams/records.ts";
import {
  mailboxKey,
  nodePushSubject,
  parseRouteKey,
  routePartitionFilter,
} from "../../../streams/subjects.ts";
import type { Bucket, Mailbox, Messages, Receipts } from "../../bus/contract.ts";
import type { Clock, Timer } from "../../clock/clock.ts";
import type { Logger } from "../../observe/logger.ts";
import { HoldfastError } from "../../status/errors.ts";
import { KeyWriter, type WriteFailure } from "../key-writer.ts";
import { DeliveryFold } from "./delivery-fold.ts";
import type { DeliveryEffect } from "./effects.ts";
import type { ConnectionOf, DeliveryCounters } from "./state.ts";

const TICK_MS = 100;
const MARKS_WINDOW = 64;
const ANSWER_TIMEOUT_MS = 2_000;
/** What one message to a node may carry: far below what NATS takes, and no long write loop. */
const BATCH = 256;
const BATCH_BYTES = 256 * 1_024;
/** How long a handover waits for what is on its way to the mailbox. */
const CLOSE_TIMEOUT_MS = 2_000;

/** What must-arrive delivery needs of NATS besides plain messages. */
export interface DeliveryStores {
  mailbox: Mailbox;
  receipts: Receipts;
  /** `hf_full` */
  full: Bucket;
}

export interface PartitionDeliveryOptions {
  partition: number;
  clock: Clock;
  log: Pick<Logger, "info" | "warn">;
  messages: Messages;
  stores: DeliveryStores;
  counters: DeliveryCounters;
  connectionOf: ConnectionOf;
  /** Whether the lease holds at this moment. */
  allowed(): boolean;
  failed(why: WriteFailure): void;
}

type Send = DeliveryEffect & { kind: "send" };

/** The delivery fold of a partition at work: carries out its effects, and tells it what came of them. */
export class PartitionDelivery {
  readonly #options: PartitionDeliveryOptions;
  readonly #fold: DeliveryFold;
  readonly #marks: KeyWriter<MailboxMark>;
  #timer: Timer | undefined;
  #flushPlanned = false;
  #stage: "running" | "closing" | "stopped" = "running";
  /** Operations on the mailbox without an answer. */
  #underWay = 0;
  #settled: (() => void) | undefined;

  constructor(options: PartitionDeliveryOptions) {
    const { stores, counters, allowed, failed, connectionOf } = options;
    this.#options = options;
    this.#fold = new DeliveryFold(connectionOf, {}, counters);
    this.#marks = new KeyWriter<MailboxMark>({
      bucket: stores.full,
      window: MARKS_WINDOW,
      encode: encodeJson,
      allowed,
      shared: true,
      failed,
    });
  }

  get fold(): DeliveryFold {
    return this.#fold;
  }

  /**
   * Reads what waits in the mailbox. `readBefore`: how far an earlier owner has read the log.
   * @throws HoldfastError when it cannot be read.
   */
  async load(readBefore: number): Promise<void> {
    const { partition, clock, stores } = this.#options;
    this.#fold.readBefore(readBefore);
    for await (const { key, value, revision } of stores.full.list(
      routePartitionFilter(partition),
    )) {
      const mark = value === undefined ? undefined : decodeJson<MailboxMark>(value);
      this.#marks.known(key, revision, mark);
      if (mark?.full !== true) continue;
      const { app, device } = parseRouteKey(key);
      this.#fold.markFound(app, device, clock.now());
    }
    for await (const page of stores.mailbox.list(partition)) {
      for (const header of page) this.#fold.mailFound(header, clock.now());
    }
  }

  /** A record of the log. `message` bytes of it are copied. */
  record(sequence: number, { body, atMs }: LogRecord): void {
    const now = this.#options.clock.now();
    const at = Number(atMs);
    if (body.case === "accepted") this.#fold.accepted(sequence, body.value, at, now);
    else if (body.case === "acked") this.#fold.acked(sequence, body.value, at, now);
    else return;
    this.#planFlush();
  }

  /** The device's connection may have changed. */
  moved(app: string, device: string): void {
    this.#fold.moved(app, device, this.#options.clock.now());
    this.#planFlush();
  }

  goLive(): void {
    const { clock } = this.#options;
    this.#fold.goLive(clock.now());
    this.#timer = clock.every(TICK_MS, () => {
      this.#fold.tick(clock.now());
      this.#planFlush();
    });
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
    this.#stage = "stopped";
    this.#timer?.cancel();
    this.#marks.close();
    this.#settled?.();
  }

  /** Once for all the records that were read in one go, so that what goes to one node goes together. */
  #planFlush(): void {
    if (this.#flushPlanned || !this.#fold.hasEffects || this.#stage !== "running") return;
    this.#flushPlanned = true;
    queueMicrotask(() => {
      this.#flushPlanned = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { allowed } = this.#options;
    if (this.#stage !== "running") return;
    const effects = this.#fold.takeEffects();
    // Whoever owns the partition now reads it all again.
    if (!allowed()) return;
    const nodes = new Map<string, Send[]>();
    for (const effect of effects) {
      if (effect.kind !== "send") {
        this.#carryOut(effect);
        continue;
      }
      const { node } = effect.connection;
      const sends = nodes.get(node);
      if (sends === undefined) nodes.set(node, [effect]);
      else sends.push(effect);
    }
    for (const [node, sends] of nodes) {
      for (const batch of batches(sends)) void this.#send(node, batch);
    }
  }

  #carryOut(effect: Exclude<DeliveryEffect, Send>): void {
    switch (effect.kind) {
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
        this.#marks.put(mailboxKey(this.#options.partition, app, device), { full });
        break;
      }
    }
  }

  /** What gets lost on the way is sent again by the fold, so a failure needs nothing. */
  async #send(node: string, batch: readonly Send[]): Promise<void> {
    const { messages, clock } = this.#options;
    const deliver = create(DeliverSchema, { deliveries: batch.map(deliveryOf) });
    let answer: Uint8Array;
    try {
      const subject = nodePushSubject(node, "lo");
      const payload = toBinary(DeliverSchema, deliver);
      answer = await messages.request(subject, payload, ANSWER_TIMEOUT_MS);
    } catch (reason) {
      if (HoldfastError.from(reason).code === "internal") this.#warn(reason);
      return;
    }
    if (this.#stage !== "running") return;
    const { unwritten, atMs } = fromBinary(DeliverAnswerSchema, answer);
    const at = Number(atMs) || clock.now();
    const left = new Set(unwritten);
    for (const [index, { inbox, entry, connection }] of batch.entries()) {
      if (left.has(index)) this.#fold.notWritten(inbox, connection, clock.now());
      else this.#fold.written(entry, connection, at);
    }
  }

  #mail({ inbox, entry, message }: DeliveryEffect & { kind: "mail" }): void {
    const { stores, clock } = this.#options;
    const { app, device } = inbox;
    const { sequence, messageId, business, acceptedAtMs, expiresAtMs } = entry;
    this.#underWay += 1;
    stores.mailbox.put(
      { app, device, sequence, messageId, business, acceptedAtMs, expiresAtMs, message },
      (mailedAs) => this.#answered(() => this.#fold.mailed(inbox, entry, mailedAs, clock.now())),
      (why) => this.#answered(() => this.#fold.notMailed(inbox, entry, why.message, clock.now())),
    );
  }

  async #load({ inbox, from, limit }: DeliveryEffect & { kind: "load" }): Promise<void> {
    const { stores, clock } = this.#options;
    this.#underWay += 1;
    try {
      const found = await stores.mailbox.load(inbox.app, inbox.device, from, limit);
      this.#answered(() => this.#fold.loaded(inbox, from, found, clock.now()));
    } catch (reason) {
      this.#warn(reason);
      this.#answered(() => this.#fold.notLoaded(inbox, clock.now()));
    }
  }

  async #purge({ inbox, below, single }: DeliveryEffect & { kind: "purge" }): Promise<void> {
    const { stores, clock } = this.#options;
    this.#underWay += 1;
    try {
      await stores.mailbox.purge(inbox.app, inbox.device, below, single);
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

function deliveryOf({ connection, entry, frame, after }: Send): Delivery {
  return create(DeliverySchema, {
    connection: BigInt(connection.counter),
    frame,
    deliverySequence: BigInt(entry.sequence),
    after: BigInt(after),
  });
}

function* batches(sends: readonly Send[]): Generator<readonly Send[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, { frame }] of sends.entries()) {
    if (index > start && (index - start === BATCH || bytes + frame.length > BATCH_BYTES)) {
      yield sends.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += frame.length;
  }
  if (start < sends.length) yield start === 0 ? sends : sends.slice(start);
}

/** The connection of a route, for the fold. */
export function connectionOfRoute(
  route: { online: boolean; connection: string; node: string } | undefined,
): ReturnType<ConnectionOf> {
  if (route?.online !== true) return undefined;
  const { connection: id, node } = route;
  return { id, node, counter: parseConnectionId(id).counter };
}
