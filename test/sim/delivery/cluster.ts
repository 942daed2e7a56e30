import type { DeliveryLimits } from "../../../internal/projector/delivery/state.ts";
import type { Progress } from "../../../internal/projector/fold/route-table.ts";
import type { Receipt, Route } from "../../../streams/records.ts";
import { World } from "../world.ts";
import { SimDevice } from "./client.ts";
import { SimLog } from "./log.ts";
import { SimMailbox } from "./mailbox.ts";
import { encodeMessage } from "./message.ts";
import { SimNode } from "./node.ts";
import { SimOwner } from "./owner.ts";

interface AcceptedMessage {
  device: string;
  messageId: string;
  sequence: number;
  expiresAtMs: number;
}

export interface Faults {
  /** The share of messages to nodes that get lost. */
  loss: number;
  /** How long some of the others take, in ms. */
  slowness: number;
  /** The share of operations on the mailbox that fail. */
  mailFaults: number;
  /** How long some of the others take, in ms. */
  mailSlowness: number;
}

export const NO_FAULTS: Faults = { loss: 0, slowness: 0, mailFaults: 0, mailSlowness: 0 };

/** One partition with everything around it: senders, its owner, access nodes, devices. */
export class DeliveryCluster {
  readonly world: World;
  readonly log: SimLog;
  readonly mailbox: SimMailbox;
  readonly limits: DeliveryLimits;
  readonly devices: SimDevice[] = [];
  nodes: SimNode[] = [];
  owner: SimOwner | undefined;

  // What the buckets hold.
  checkpoint: Progress & { read: number } = { sequence: 0, read: 0, numbers: {}, dead: {} };
  readonly routes = new Map<string, Route>();
  readonly marks = new Set<string>();

  readonly accepted: AcceptedMessage[] = [];
  readonly receipts: Receipt[] = [];
  readonly violations: string[] = [];
  #faults: Faults = NO_FAULTS;
  #messages = 0;

  constructor(seed: number) {
    const world = new World(seed);
    this.world = world;
    const mailbox = Math.ceil(world.between(5, 200));
    this.limits = {
      window: Math.ceil(world.between(1, 16)),
      mailbox,
      puts: Math.ceil(world.between(1, 8)),
      loads: Math.ceil(world.between(1, 3)),
      purges: Math.ceil(world.between(1, 3)),
    };
    this.log = new SimLog(world);
    // A little above what the API lets in, as messages may be on their way when a box fills.
    this.mailbox = new SimMailbox(mailbox + 5, () => world.now);
    for (let i = Math.ceil(world.between(1, 3)); i > 0; i--) this.startNode();
    for (let i = Math.ceil(world.between(1, 4)); i > 0; i--) {
      this.devices.push(new SimDevice(`d${i}`, this));
    }
    this.owner = new SimOwner(this);
  }

  violate(text: string): void {
    this.violations.push(text);
  }

  startNode(): void {
    this.nodes.push(new SimNode(`n${this.nodes.length}`, this));
  }

  node(incarnation: string): SimNode | undefined {
    return this.nodes.find((node) => node.incarnation === incarnation);
  }

  crashNode(): void {
    const node = this.world.pick(this.nodes);
    if (node === undefined) return;
    node.crash();
    this.nodes = this.nodes.filter((other) => other !== node);
    this.world.after(this.world.between(10, 3_000), () => this.startNode());
  }

  /** Another owner takes over, which takes a broker that works, and a lease given up or run out. */
  crashOwner(): void {
    if (this.owner === undefined) return;
    this.owner.crash();
    this.owner = undefined;
    const { world, log } = this;
    world.at(Math.max(world.now, log.downUntil) + world.between(200, 8_000), () => {
      this.owner ??= new SimOwner(this);
    });
  }

  misbehave(faults: Faults): void {
    this.#faults = faults;
  }

  get faults(): Readonly<Faults> {
    return this.#faults;
  }

  /** How long a message to a node takes: some overtake others. */
  delay(): number {
    return this.world.chance(0.2)
      ? this.world.between(0, this.#faults.slowness)
      : this.world.between(0, 5);
  }

  push(): void {
    const { world, log } = this;
    const device = world.pick(this.devices);
    if (device === undefined || this.marks.has(device.name)) return;
    this.#messages += 1;
    const messageId = `m${this.#messages}`;
    const ttl = world.chance(0.25) ? world.between(1_000, 30_000) : 24 * 60 * 60 * 1_000;
    const expiresAtMs = Math.round(world.now + ttl);
    const value = {
      app: "demo",
      device: device.name,
      messageId,
      business: "chat",
      message: encodeMessage(messageId, `${device.name} ${messageId}`),
      expiresAtMs: BigInt(expiresAtMs),
    };
    log.append(
      `push${Math.floor(world.between(0, 2))}`,
      { case: "accepted", value },
      0,
      (sequence) => {
        this.accepted.push({ device: device.name, messageId, sequence, expiresAtMs });
      },
    );
  }
}
