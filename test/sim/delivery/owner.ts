import { DeliveryFold } from "../../../internal/projector/delivery/delivery-fold.ts";
import type { DeliveryEffect } from "../../../internal/projector/delivery/effects.ts";
import { type Effect, fold } from "../../../internal/projector/fold/fold.ts";
import { type Device, RouteTable } from "../../../internal/projector/fold/route-table.ts";
import type { DeliveryCluster } from "./cluster.ts";
import type { Stored } from "./log.ts";
import { messageOf } from "./message.ts";

type Send = DeliveryEffect & { kind: "send" };

const TICK_MS = 250;
const CHECKPOINT_MS = 1_000;
/** How long after a crash something of it may still happen: less than any takeover takes. */
const LATE_MS = 150;

/** A partition's owner: the real folds, and their effects on a network that may do anything. */
export class SimOwner {
  readonly cluster: DeliveryCluster;
  readonly table: RouteTable;
  readonly delivery: DeliveryFold;
  readonly #routeEffects: Effect[] = [];
  readonly #dirty = new Set<Device>();
  readonly #last: number;
  /** What the log said was acknowledged when this owner began. */
  readonly #acked: ReadonlyMap<string, number>;
  #stopReading: () => void = () => {};
  #live = false;
  up = true;
  #crashedAt = 0;

  constructor(cluster: DeliveryCluster) {
    const { world, log, mailbox, checkpoint, routes, marks } = cluster;
    this.cluster = cluster;
    this.table = RouteTable.restore(checkpoint, structuredClone([...routes.values()]));
    this.delivery = new DeliveryFold((app, device) => {
      const found = this.table.device(app, device);
      if (found?.route.online !== true) return undefined;
      const { connection: id, node } = found.route;
      return { id, node, counter: found.counter };
    }, cluster.limits);
    this.delivery.readBefore(checkpoint.read);
    for (const device of marks) this.delivery.markFound("demo", device, world.now);
    for (const mail of mailbox.mails) this.delivery.mailFound(mail, world.now);
    this.#last = log.last;
    this.#acked = new Map(log.acked);
    // The rest of the log comes in portions, with whatever happens meanwhile in between.
    world.after(world.between(0, 50), () => this.#read());
    this.#every(TICK_MS, () => {
      this.delivery.tick(world.now);
      this.#carryOut();
    });
    this.#every(CHECKPOINT_MS, () => this.#moveCheckpoint());
  }

  crash(): void {
    this.up = false;
    this.#crashedAt = this.cluster.world.now;
    this.#stopReading();
  }

  get settled(): boolean {
    const { delivery, table } = this;
    return delivery.devices === 0 && delivery.checkpoint(table.position) === table.position;
  }

  #read(): void {
    if (!this.up) return;
    const { world } = this.cluster;
    let at = world.now;
    this.#stopReading = this.cluster.log.read(this.table.position, (stored) => {
      at = Math.max(at, world.now + (this.#live ? world.between(0, 10) : world.between(0, 0.5)));
      world.at(at, () => this.#record(stored));
    });
    if (this.table.position >= this.#last) this.#goLive();
  }

  #record({ sequence, record }: Stored): void {
    if (!this.up) return;
    const { world } = this.cluster;
    fold(this.table, sequence, record, this.#routeEffects);
    const { body } = record;
    if (body.case === "accepted") {
      this.delivery.accepted(sequence, body.value, Number(record.atMs), world.now);
    } else if (body.case === "acked") {
      this.delivery.acked(sequence, body.value, Number(record.atMs), world.now);
    }
    for (const effect of this.#routeEffects.splice(0)) {
      if (effect.kind === "route") {
        const { app, device } = effect.device.route;
        this.#dirty.add(effect.device);
        this.delivery.moved(app, device, world.now);
      } else if (effect.kind === "kick" && this.#live) {
        const { incarnation, counter } = effect;
        this.#later(() => this.cluster.node(incarnation)?.kick(counter));
      }
    }
    if (!this.#live && sequence >= this.#last) this.#goLive();
    this.#carryOut();
  }

  #goLive(): void {
    this.#live = true;
    this.delivery.goLive(this.cluster.world.now);
    this.#carryOut();
  }

  /** Routes may be stored ahead of the checkpoint, never behind it. */
  #moveCheckpoint(): void {
    const { world, routes } = this.cluster;
    for (const device of this.#dirty) {
      if (world.chance(0.1)) continue;
      routes.set(device.route.device, structuredClone(device.route));
      this.#dirty.delete(device);
    }
    if (this.#dirty.size > 0) return;
    const progress = this.table.progress();
    const sequence = this.delivery.checkpoint(this.table.position);
    if (sequence < this.cluster.checkpoint.sequence) {
      this.cluster.violate("the checkpoint went back");
    }
    this.cluster.checkpoint = { ...progress, sequence, read: this.table.position };
  }

  #carryOut(): void {
    const { world } = this.cluster;
    const batches = new Map<string, Send[]>();
    for (const effect of this.delivery.takeEffects()) {
      if (effect.kind !== "send") {
        this.#do(effect);
        continue;
      }
      this.#check(effect);
      const { node } = effect.connection;
      const batch = batches.get(node);
      if (batch === undefined) batches.set(node, [effect]);
      else batch.push(effect);
    }
    for (const [incarnation, batch] of batches) {
      for (let copies = world.chance(0.1) ? 2 : 1; copies > 0; copies--) {
        if (world.chance(this.cluster.faults.loss)) continue;
        world.after(this.cluster.delay(), () => this.#deliver(incarnation, batch));
      }
    }
  }

  #check({ entry, frame }: Send): void {
    const { world } = this.cluster;
    const { sequence, messageId, expiresAtMs } = entry;
    const device = messageOf(frame).text.split(" ")[0] ?? "";
    if (expiresAtMs <= world.now) this.cluster.violate(`${messageId} was sent after its time`);
    if (sequence <= (this.#acked.get(device) ?? 0)) {
      this.cluster.violate(`${messageId} was sent again, though the log says it was acknowledged`);
    }
  }

  #deliver(incarnation: string, batch: Send[]): void {
    const { world } = this.cluster;
    const deliveries = batch.map(({ connection, entry, frame, after }) => {
      return { counter: connection.counter, sequence: entry.sequence, after, frame };
    });
    const unwritten = this.cluster.node(incarnation)?.deliver(deliveries);
    if (unwritten === undefined) return;
    this.#later(() => {
      for (const [index, { inbox, entry, connection }] of batch.entries()) {
        if (unwritten.includes(index)) this.delivery.notWritten(inbox, connection, world.now);
        else this.delivery.written(inbox, entry, connection, world.now);
      }
      this.#carryOut();
    });
  }

  #do(effect: Exclude<DeliveryEffect, Send>): void {
    const { world, mailbox, marks, limits } = this.cluster;
    const { delivery } = this;
    const broken = world.chance(this.cluster.faults.mailFaults);
    switch (effect.kind) {
      case "mail": {
        const { inbox, entry, message } = effect;
        const { app, device } = inbox;
        const { sequence, messageId, business, acceptedAtMs, expiresAtMs } = entry;
        const mail = { app, device, sequence, messageId, business, acceptedAtMs, expiresAtMs };
        this.#later(
          () => (broken ? 0 : mailbox.put({ ...mail, message })),
          (mailedAs) => {
            if (mailedAs > 0) delivery.mailed(inbox, entry, mailedAs, world.now);
            else delivery.notMailed(inbox, entry, "full", world.now);
          },
        );
        break;
      }
      case "load": {
        const { inbox, entries } = effect;
        const { length } = entries;
        if (length > limits.window) this.cluster.violate(`${length} messages loaded at once`);
        const places = entries.map(({ mailedAs }) => mailedAs);
        this.#later(
          () => mailbox.load(inbox.device, places),
          (found) => {
            if (broken) delivery.notLoaded(inbox, world.now);
            else delivery.loaded(inbox, entries, found, world.now);
          },
        );
        break;
      }
      case "purge": {
        const { inbox, places } = effect;
        this.#later(
          () => {
            if (!broken) mailbox.purge(places);
          },
          () => {
            if (broken) delivery.notPurged(inbox, world.now);
            else delivery.purged(inbox, world.now);
          },
        );
        break;
      }
      case "mark":
        if (effect.full) marks.add(effect.device);
        else marks.delete(effect.device);
        break;
      case "receipt":
        this.cluster.receipts.push(effect.receipt);
        break;
    }
  }

  /**
   * Done by the broker after a while, perhaps also when this owner is gone by then, but not after
   * another has taken over: the lease leaves a second between them. The answer needs it alive.
   */
  #later<T>(act: () => T, answer?: (result: T) => void): void {
    const { world, log, faults } = this.cluster;
    const lostOnTheWay = world.chance(0.5);
    const delay = world.chance(0.3) ? world.between(0, faults.mailSlowness) : world.between(0, 30);
    world.at(Math.max(world.now, log.downUntil) + delay, () => {
      const late = world.now - this.#crashedAt > LATE_MS;
      if (!this.up && (lostOnTheWay || late)) return;
      const result = act();
      if (answer === undefined) return;
      world.after(world.between(0, 30), () => {
        if (!this.up) return;
        answer(result);
        this.#carryOut();
      });
    });
  }

  #every(ms: number, act: () => void): void {
    this.cluster.world.after(ms, () => {
      if (!this.up) return;
      act();
      this.#every(ms, act);
    });
  }
}
