import { LinedAppender } from "../../../internal/bus/keyed-appender.ts";
import type { DeliveryLimits } from "../../../internal/projector/delivery/state.ts";
import type { Progress } from "../../../internal/projector/fold/route-table.ts";
import type { ReadRecord, Receipt, Route } from "../../../streams/records.ts";
import { fullKey, nodePushSubject } from "../../../streams/subjects.ts";
import { WindowAppender } from "../../support/window-appender.ts";
import { EPOCH_MS } from "../process.ts";
import { World } from "../world.ts";
import { SimDevice } from "./client.ts";
import { encodeRecord, SimLog } from "./log.ts";
import { SimMailStream } from "./mailbox.ts";
import { SimMarks } from "./marks.ts";
import { encodeMessage } from "./message.ts";
import { SimNode } from "./node.ts";
import { SimOwner } from "./owner.ts";
import { SimProjector } from "./projector.ts";

interface AcceptedMessage {
  device: string;
  messageId: string;
  /** By the order of the calls for its device. */
  number: number;
  sequence: number;
  expiresAtMs: number;
}

export interface Faults {
  /** The share of messages to nodes that get lost. */
  loss: number;
  /** How long some of the others take, in ms. */
  slowness: number;
  /** The share of operations on the mailbox that fail, and of messages that the log rejects. */
  mailFaults: number;
  /** How long some of the others take, in ms. */
  mailSlowness: number;
}

export const NO_FAULTS: Faults = { loss: 0, slowness: 0, mailFaults: 0, mailSlowness: 0 };

interface Checkpoint extends Progress {
  read: number;
  newest?: ReadRecord;
  claimedBy: object | undefined;
}

/** One partition with everything around it: senders, its owner, access nodes, devices. */
export class DeliveryCluster {
  readonly world: World;
  readonly log: SimLog;
  readonly mailbox: SimMailStream;
  readonly marks = new SimMarks();
  readonly limits: DeliveryLimits;
  readonly devices: SimDevice[] = [];
  nodes: SimNode[] = [];
  owner: SimOwner | undefined;

  // What the buckets hold.
  checkpoint: Checkpoint = {
    sequence: 0,
    read: 0,
    numbers: {},
    dead: {},
    claimedBy: undefined,
  };
  readonly routes = new Map<string, Route>();

  readonly accepted = new Map<string, AcceptedMessage>();
  /** What the broker has lost with an unsynced tail. A sender without an answer yet sends it again. */
  readonly lost = new Set<string>();
  readonly receipts: Receipt[] = [];
  readonly violations: string[] = [];
  /** False while the log has lost its end and only the present owner's process remembers how far it went. */
  lossKnown = true;
  readonly #senders: LinedAppender[];
  #faults: Faults = NO_FAULTS;
  #messages = 0;
  #nodes = 0;
  #projectors = 0;

  constructor(seed: number) {
    const world = new World(seed);
    this.world = world;
    const mailbox = Math.ceil(world.between(5, 200));
    this.limits = {
      window: Math.ceil(world.between(1, 16)),
      windowBytes: Math.ceil(world.between(20, 1_000)),
      mailbox,
      puts: Math.ceil(world.between(1, 8)),
      loads: Math.ceil(world.between(1, 3)),
      purges: Math.ceil(world.between(1, 3)),
    };
    this.log = new SimLog(world);
    // A little above what the API lets in, as messages may be on their way when a box fills.
    this.mailbox = new SimMailStream(mailbox + 5, () => world.now);
    for (let i = Math.ceil(world.between(1, 3)); i > 0; i--) this.startNode();
    for (let i = Math.ceil(world.between(1, 4)); i > 0; i--) {
      this.devices.push(new SimDevice(`d${i}`, this));
    }
    // A device's messages come from one sender: those of two have no order between them.
    this.#senders = [this.#sender(), this.#sender()];
    this.owner = new SimOwner(this, this.#projector());
  }

  get nowMs(): number {
    return Math.floor(EPOCH_MS + this.world.now);
  }

  violate(text: string): void {
    this.violations.push(text);
  }

  isExpired(messageId: string): boolean {
    const message = this.accepted.get(messageId);
    return message !== undefined && message.expiresAtMs <= this.nowMs;
  }

  startNode(): void {
    this.nodes.push(new SimNode(`n${this.#nodes++}`, this));
  }

  node(incarnation: string): SimNode | undefined {
    return this.nodes.find((node) => node.incarnation === incarnation);
  }

  nodeOn(subject: string): SimNode | undefined {
    return this.nodes.find(({ incarnation }) => nodePushSubject(incarnation, "lo") === subject);
  }

  crashNode(node = this.world.pick(this.nodes)): void {
    if (node === undefined) return;
    node.crash();
    this.nodes = this.nodes.filter((other) => other !== node);
    this.world.after(this.world.between(10, 3_000), () => this.startNode());
  }

  /** Another owner takes over. What the former one has sent may still come. */
  crashOwner(): void {
    const { owner } = this;
    if (owner === undefined || !this.lossKnown) return;
    this.owner = undefined;
    owner.projector.process.kill();
    owner.stop();
    this.#takeOver();
  }

  /** The owner hears nothing and says nothing for so long; another takes over, and then it goes on. */
  freezeOwner(forMs: number): void {
    const { owner, world } = this;
    if (owner === undefined || !this.lossKnown) return;
    this.owner = undefined;
    const { process, mailbox } = owner.projector;
    process.freeze();
    mailbox.cut(forMs);
    this.#takeOver();
    world.after(forMs, () => {
      owner.inDoubt = true;
      process.thaw();
      // It reads who owns the partition now.
      world.after(world.between(0, 1_000), () => owner.stop());
    });
  }

  /** The owner's link to the mailbox is gone for so long. It stays the owner, and stores its mail later. */
  cutOwner(forMs: number): void {
    const mailbox = this.owner?.projector.mailbox;
    if (mailbox?.connected === true) mailbox.cut(forMs);
  }

  /** The owner could not go on: its projector makes another. */
  failed(owner: SimOwner, logLost: boolean): void {
    if (this.owner !== owner) return;
    this.owner = undefined;
    const { world, log } = this;
    world.at(Math.max(world.now, log.downUntil) + world.between(250, 4_000), () => {
      this.owner ??= new SimOwner(this, owner.projector, logLost);
    });
  }

  /**
   * A power cut at the broker: the newest of the log and of the mail is gone, and the nodes with it. Not
   * together with all that remember how far the log went: docs/ARCHITECTURE.md says what that would cost.
   */
  loseTail(): void {
    const { world, log, owner } = this;
    if (owner?.live !== true) return;
    log.downUntil = world.now + world.between(100, 3_000);
    for (const { record } of log.loseTail(Math.ceil(world.between(0, 30)))) {
      if (record.body.case === "accepted") this.#lose(record.body.value.messageId);
    }
    for (const { messageId } of this.mailbox.loseTail(Math.floor(world.between(0, 10)))) {
      this.#lose(messageId);
    }
    for (const node of [...this.nodes]) this.crashNode(node);
    // What it has read since its last checkpoint nobody else knows of.
    const { position } = owner.table;
    if (position > log.end && this.checkpoint.read <= log.end) this.lossKnown = false;
    if (this.checkpoint.read === position && world.chance(0.3)) this.crashOwner();
  }

  #lose(messageId: string): void {
    this.accepted.delete(messageId);
    this.lost.add(messageId);
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
    const { world } = this;
    const place = Math.floor(world.between(0, this.devices.length));
    const device = this.devices[place];
    if (device === undefined || this.#isFull(device.name)) return;
    this.#messages += 1;
    const number = this.#messages;
    const messageId = `m${number}`;
    const ttl = world.chance(0.25) ? world.between(1_000, 30_000) : 24 * 60 * 60 * 1_000;
    const expiresAtMs = Math.round(this.nowMs + ttl);
    const value = {
      app: "demo",
      device: device.name,
      messageId,
      business: "chat",
      message: encodeMessage(messageId, `${device.name} ${messageId}`),
      expiresAtMs: BigInt(expiresAtMs),
    };
    this.#senders[place % this.#senders.length]?.append(
      device.name,
      "accepted",
      encodeRecord(this.nowMs, { case: "accepted", value }),
      (sequence) => {
        const accepted = { device: device.name, messageId, number, sequence, expiresAtMs };
        this.accepted.set(messageId, accepted);
      },
      { headers: { "Nats-Msg-Id": messageId }, refused: () => {} },
    );
  }

  #isFull(device: string): boolean {
    const mark = this.marks.entries.get(fullKey(0, "demo", device))?.value;
    return mark !== undefined && JSON.parse(Buffer.from(mark).toString()).full === true;
  }

  #projector(): SimProjector {
    return new SimProjector(`p${this.#projectors++}`, this);
  }

  /** Takes a broker that works, and an ownership that was given up or taken. */
  #takeOver(): void {
    const { world, log } = this;
    world.at(Math.max(world.now, log.downUntil) + world.between(200, 8_000), () => {
      this.owner ??= new SimOwner(this, this.#projector());
    });
  }

  /** A push process: the real publish window, some of whose messages the log rejects. */
  #sender(): LinedAppender {
    const { world, log } = this;
    const appender = new WindowAppender(
      ({ payload, messageId }, answered) => {
        const at = Math.max(world.now, log.downUntil) + world.between(0, 15);
        world.at(at, () => {
          const rejected = world.chance(this.#faults.mailFaults / 2);
          const answer = rejected ? ("rejected" as const) : log.store(payload, messageId);
          world.after(world.between(0, 10), () => answered(answer));
        });
      },
      (retry) => world.after(world.between(50, 500), retry),
    );
    return new LinedAppender(appender);
  }
}
