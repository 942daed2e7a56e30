import { Deliveries } from "../../../internal/access/delivery/deliveries.ts";
import { connectionId, incarnationOf } from "../../../streams/connection-id.ts";
import { eventsOf } from "../../support/log-events.ts";
import type { SimDevice } from "./client.ts";
import type { DeliveryCluster } from "./cluster.ts";
import { messageOf } from "./message.ts";

export interface SimConnection {
  readonly counter: number;
  readonly node: SimNode;
  readonly device: SimDevice;
  /** Order on the socket: nothing overtakes. */
  busyUntil: number;
}

export interface SimDelivery {
  counter: number;
  sequence: number;
  after: number;
  frame: Uint8Array;
}

const ACK_FLUSH_MS = 20;

/** An access node: it checks deliveries and acknowledgements with the real rules. */
export class SimNode {
  readonly name: string;
  readonly incarnation: string;
  readonly connections = new Map<number, SimConnection>();
  readonly #cluster: DeliveryCluster;
  readonly #deliveries = new Deliveries();
  readonly #acks = new Map<SimConnection, number>();
  #counter = 0;
  #records = 0;
  #flushing = false;
  up = true;

  constructor(name: string, cluster: DeliveryCluster) {
    this.name = name;
    this.#cluster = cluster;
    this.incarnation = incarnationOf(name, Math.floor(cluster.world.now));
  }

  open(device: SimDevice, claimed: number): SimConnection {
    this.#counter += 1;
    const counter = this.#counter;
    const connection = { counter, node: this, device, busyUntil: 0 };
    this.connections.set(counter, connection);
    this.#deliveries.claim(counter, claimed);
    const id = connectionId(this.incarnation, counter);
    const value = {
      connection: {
        id,
        app: "demo",
        device: device.name,
        openedAtMs: BigInt(Math.round(this.#cluster.world.now)),
        handledSequence: BigInt(claimed),
      },
    };
    this.#append(eventsOf(this.incarnation, { case: "connected", value }));
    return connection;
  }

  close(connection: SimConnection): void {
    if (!this.connections.delete(connection.counter)) return;
    this.#flush();
    this.#deliveries.forget(connection.counter);
    const { counter, device } = connection;
    const value = {
      connectionId: connectionId(this.incarnation, counter),
      app: "demo",
      device: device.name,
      reason: "client-closed",
    };
    this.#append(eventsOf(this.incarnation, { case: "disconnected", value }));
  }

  /** An order of the projector. */
  kick(counter: number): void {
    const connection = this.connections.get(counter);
    if (connection === undefined) return;
    if (connection.device.connection === connection) connection.device.connection = undefined;
    this.close(connection);
  }

  deliver(deliveries: readonly SimDelivery[]): number[] {
    const unwritten: number[] = [];
    for (const [index, { counter, sequence, after, frame }] of deliveries.entries()) {
      const connection = this.connections.get(counter);
      if (connection === undefined || !this.#deliveries.take(counter, sequence, after)) {
        unwritten.push(index);
        continue;
      }
      const { world } = this.#cluster;
      connection.busyUntil = Math.max(connection.busyUntil, world.now + world.between(0, 40));
      const { deliverySequence, text } = messageOf(frame);
      world.at(connection.busyUntil, () => {
        if (this.up) connection.device.received(connection, deliverySequence, text);
      });
    }
    return unwritten;
  }

  acknowledged(connection: SimConnection, sequence: number): void {
    if (!this.connections.has(connection.counter)) return;
    const verdict = this.#deliveries.acknowledge(connection.counter, sequence);
    if (verdict.kind !== "new") return;
    this.#acks.set(connection, verdict.sequence);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#cluster.world.after(ACK_FLUSH_MS, () => this.#flush());
  }

  crash(): void {
    if (!this.up) return;
    this.up = false;
    const { world, log } = this.#cluster;
    for (const { device } of this.connections.values()) device.connection = undefined;
    this.connections.clear();
    this.#acks.clear();
    world.after(world.between(4_000, 9_000), () => {
      log.append("watch", { case: "nodeDown", value: { incarnation: this.incarnation } }, 0);
    });
  }

  #flush(): void {
    this.#flushing = false;
    if (!this.up || this.#acks.size === 0) return;
    const acks = Array.from(this.#acks, ([{ counter, device }, sequence]) => ({
      app: "demo",
      device: device.name,
      deliverySequence: BigInt(sequence),
      connection: BigInt(counter),
    }));
    this.#acks.clear();
    const { world, log } = this.#cluster;
    // A node that was declared dead drops what is not stored yet.
    if (world.chance(0.03)) return;
    const body = { case: "acked", value: { incarnation: this.incarnation, acks } } as const;
    log.append(this.incarnation, body, 0);
    // A reconnect in between: the appender sends it again, and it is stored twice.
    if (world.chance(0.05)) log.append(this.incarnation, body, 0);
  }

  #append(body: Parameters<DeliveryCluster["log"]["append"]>[1]): void {
    this.#records += 1;
    this.#cluster.log.append(this.incarnation, body, this.#records);
  }
}
