import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Messages } from "../../../internal/bus/contract.ts";
import { NodeSender } from "../../../internal/projector/delivery/node-sender.ts";
import {
  connectionOfRoute,
  PartitionDelivery,
} from "../../../internal/projector/delivery/partition-delivery.ts";
import { newDeliveryCounters } from "../../../internal/projector/delivery/state.ts";
import { type Effect, fold } from "../../../internal/projector/fold/fold.ts";
import { type Device, RouteTable } from "../../../internal/projector/fold/route-table.ts";
import { HoldfastError } from "../../../internal/status/errors.ts";
import {
  type Deliver,
  DeliverAnswerSchema,
  DeliverSchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import type { DeliveryCluster } from "./cluster.ts";
import type { Stored } from "./log.ts";
import { SimMarksBucket } from "./marks.ts";
import { messageOf } from "./message.ts";
import type { SimProjector } from "./projector.ts";

const CHECKPOINT_MS = 1_000;
const quiet = { info: () => {}, warn: () => {} };

/** A partition's owner: the real folds and the real delivery over a network that may do anything. */
export class SimOwner {
  readonly projector: SimProjector;
  readonly #cluster: DeliveryCluster;
  readonly delivery: PartitionDelivery;
  table = new RouteTable();
  readonly #routeEffects: Effect[] = [];
  readonly #dirty = new Set<Device>();
  /** Reads the whole log, since it is not what it was. */
  readonly #fromStart: boolean;
  #last = 0;
  #readAt = 0;
  /** What the log said was acknowledged when this owner began. */
  #acked: ReadonlyMap<string, number> = new Map();
  #stopReading: () => void = () => {};
  #live = false;
  #stopped = false;
  /** It has been away, and has not read yet whether it still owns the partition. */
  inDoubt = false;

  constructor(cluster: DeliveryCluster, projector: SimProjector, fromStart = false) {
    this.#cluster = cluster;
    this.#fromStart = fromStart;
    this.projector = projector;
    const { process, mailbox, lastRead } = projector;
    const { world, log } = cluster;
    const clock = {
      ...process.clock,
      every: (ms: number, fire: () => void) =>
        process.clock.every(ms, () => {
          fire();
          world.settles();
        }),
    };
    this.delivery = new PartitionDelivery({
      partition: 0,
      clock,
      log: quiet,
      reader: {
        holds: async (_partition, sequence, storedAtMs) => log.holds(sequence, storedAtMs),
      },
      connectionOf: (app, device) => connectionOfRoute(this.table.device(app, device)?.route),
      allowed: () => !this.#stopped && !this.inDoubt,
      confirmed: async () => !this.#stopped && !this.inDoubt,
      failed: () => this.#fail(),
      stores: {
        mailbox,
        receipts: { write: (receipt) => void cluster.receipts.push(receipt), read: async () => [] },
        marks: new SimMarksBucket(cluster, process),
      },
      counters: newDeliveryCounters(),
      sender: new NodeSender(this.#messages(), quiet),
      lastRead,
      limits: cluster.limits,
      fromStart,
    });
    clock.every(CHECKPOINT_MS, () => this.#moveCheckpoint());
    void this.#load();
  }

  get settled(): boolean {
    const { fold: deliveries } = this.delivery;
    return (
      this.#live &&
      deliveries.devices === 0 &&
      deliveries.checkpoint(this.table.position) === this.table.position
    );
  }

  get live(): boolean {
    return this.#live && !this.#stopped;
  }

  get devices(): number {
    return this.delivery.fold.devices;
  }

  /** Whatever it still has under way may yet happen. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopReading();
    this.delivery.stop();
  }

  async #load(): Promise<void> {
    const { world, log, routes } = this.#cluster;
    this.#cluster.checkpoint.claimedBy = this;
    const { checkpoint } = this.#cluster;
    const stored = structuredClone([...routes.values()]);
    this.#last = log.last;
    this.#acked = new Map(log.acked);
    const newest = stored.reduce(
      (most, { sequence }) => Math.max(most, sequence),
      checkpoint.sequence,
    );
    const otherLog = this.#last < newest || this.#fromStart;
    if (otherLog) for (const route of stored) route.sequence = 0;
    this.table = RouteTable.restore(
      { ...checkpoint, sequence: otherLog ? 0 : checkpoint.sequence },
      stored,
    );
    let isWhole: boolean;
    try {
      isWhole = await this.delivery.load(checkpoint);
    } catch {
      this.#fail();
      return;
    }
    if (this.#stopped) return;
    this.#cluster.lossKnown = true;
    if (!isWhole) {
      this.#fail(true);
      return;
    }
    world.after(world.between(0, 50), () => this.projector.process.receive(() => this.#read()));
  }

  #read(): void {
    if (this.#stopped) return;
    const { world, log } = this.#cluster;
    const { process } = this.projector;
    this.#stopReading = log.read(this.table.position, {
      record: (stored) => {
        const delay = this.#live ? world.between(0, 10) : world.between(0, 0.5);
        this.#readAt = Math.max(this.#readAt, world.now + delay);
        world.at(this.#readAt, () => process.receive(() => this.#record(stored)));
      },
      lost: () => world.after(50, () => process.receive(() => this.#fail(true))),
    });
    if (this.table.position >= this.#last) this.#goLive();
  }

  #record({ sequence, storedAtMs, record }: Stored): void {
    if (this.#stopped) return;
    const { world } = this.#cluster;
    fold(this.table, sequence, record, this.#routeEffects);
    this.delivery.record(sequence, record, storedAtMs);
    for (const effect of this.#routeEffects.splice(0)) {
      if (effect.kind === "route") {
        const { app, device } = effect.device.route;
        this.#dirty.add(effect.device);
        this.delivery.moved(app, device);
      } else if (effect.kind === "kick" && this.#live) {
        const { incarnation, counter } = effect;
        world.after(world.between(0, 30), () => this.#cluster.node(incarnation)?.kick(counter));
      }
    }
    if (!this.#live && sequence >= this.#last) this.#goLive();
    world.settles();
  }

  #goLive(): void {
    this.#live = true;
    this.delivery.goLive();
    this.#cluster.world.settles();
  }

  /** Routes may be stored ahead of the checkpoint, never behind it. */
  #moveCheckpoint(): void {
    const { world, routes, checkpoint } = this.#cluster;
    if (this.#stopped || !this.#live) return;
    if (checkpoint.claimedBy !== this) {
      this.stop();
      return;
    }
    for (const device of this.#dirty) {
      if (world.chance(0.1)) continue;
      routes.set(device.route.device, structuredClone(device.route));
      this.#dirty.delete(device);
    }
    if (this.#dirty.size > 0) return;
    const { newest } = this.delivery;
    const sequence = this.delivery.fold.checkpoint(this.table.position);
    this.#cluster.checkpoint = {
      ...this.table.progress(),
      sequence,
      read: this.table.position,
      ...(newest !== undefined && { newest }),
      claimedBy: this,
    };
  }

  /** It cannot go on, and its projector loads the partition again. */
  #fail(logLost = false): void {
    if (this.#stopped) return;
    this.stop();
    this.#cluster.failed(this, logLost);
  }

  #messages(): Messages {
    const { world } = this.#cluster;
    return {
      publish: () => {},
      subscribe: () => ({ stop() {} }),
      request: (subject, payload, timeoutMs) =>
        new Promise((resolve, reject) => {
          const timer = this.projector.process.clock.after(timeoutMs, () => {
            reject(new HoldfastError("timeout", "no answer"));
            world.settles();
          });
          const deliver = fromBinary(DeliverSchema, payload);
          this.#check(deliver);
          this.#carry(subject, deliver, (answer) => {
            timer.cancel();
            resolve(answer);
            world.settles();
          });
        }),
    };
  }

  /** Some copies get lost, some come twice, some take long. */
  #carry(subject: string, { deliveries }: Deliver, answered: (answer: Uint8Array) => void): void {
    const { world } = this.#cluster;
    for (let copies = world.chance(0.1) ? 2 : 1; copies > 0; copies--) {
      if (world.chance(this.#cluster.faults.loss)) continue;
      world.after(this.#cluster.delay(), () => {
        const node = this.#cluster.nodeOn(subject);
        const unwritten = node?.deliver(
          deliveries.map(({ connection, deliverySequence, after, frame }) => {
            const sequence = Number(deliverySequence);
            return { counter: Number(connection), sequence, after: Number(after), frame };
          }),
        );
        if (unwritten === undefined) return;
        const answer = create(DeliverAnswerSchema, { unwritten, atMs: 0n });
        const bytes = toBinary(DeliverAnswerSchema, answer);
        world.after(this.#cluster.delay(), () =>
          this.projector.process.receive(() => answered(bytes)),
        );
      });
    }
  }

  #check({ deliveries }: Deliver): void {
    for (const { frame, deliverySequence } of deliveries) {
      const { text } = messageOf(frame);
      const [device = "", messageId = ""] = text.split(" ");
      if (this.#cluster.isExpired(messageId)) {
        this.#cluster.violate(`${messageId} was sent after its time`);
      }
      if (Number(deliverySequence) <= (this.#acked.get(device) ?? 0)) {
        this.#cluster.violate(
          `${messageId} was sent again, though the log says it was acknowledged`,
        );
      }
    }
  }
}
