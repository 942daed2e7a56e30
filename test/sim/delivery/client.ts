import type { DeliveryCluster } from "./cluster.ts";
import type { SimConnection } from "./node.ts";

export type Manner = "prompt" | "slow" | "deaf";

/**
 * A device with its application. It remembers the last delivery it handled over everything, as an
 * SDK that persists it does.
 */
export class SimDevice {
  readonly name: string;
  readonly #cluster: DeliveryCluster;
  connection: SimConnection | undefined;
  manner: Manner = "prompt";
  /** What the application was given, in order. */
  readonly handled: { sequence: number; messageId: string }[] = [];
  #last = 0;

  constructor(name: string, cluster: DeliveryCluster) {
    this.name = name;
    this.#cluster = cluster;
  }

  /** Where it was connected before, its node finds out only later. */
  connect(): void {
    const { world, nodes } = this.#cluster;
    const node = world.pick(nodes);
    if (node === undefined) return;
    const before = this.connection;
    if (before !== undefined) world.after(world.between(0, 5_000), () => before.node.close(before));
    this.connection = node.open(this, this.#last);
  }

  /** Hangs up, or vanishes without a word; its node finds out. */
  disconnect(): void {
    this.connection?.node.close(this.connection);
    this.connection = undefined;
  }

  received(connection: SimConnection, sequence: number, text: string): void {
    if (this.connection !== connection) return;
    const { world } = this.#cluster;
    const [device, messageId] = text.split(" ");
    if (device !== this.name)
      this.#cluster.violate(`${this.name} was shown a message for ${device}`);
    if (sequence > this.#last) {
      this.#last = sequence;
      this.handled.push({ sequence, messageId: messageId ?? "" });
    }
    if (this.manner === "deaf") return;
    const delay = this.manner === "slow" ? world.between(500, 9_000) : world.between(0, 30);
    const handled = this.#last;
    world.after(delay, () => {
      if (this.connection === connection) connection.node.acknowledged(connection, handled);
    });
  }

  /** Acknowledges what it was never sent. */
  lie(): void {
    const connection = this.connection;
    connection?.node.acknowledged(connection, this.#last + 10_000_000);
  }
}
