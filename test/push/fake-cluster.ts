/**
 * The rest of the gateway as the push role sees it: owners that answer questions, nodes that take
 * messages and orders, buckets, and the room stream.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type {
  Appender,
  AppendOptions,
  Bucket,
  Link,
  Messages,
  Receipts,
  Stored,
  Subscription,
} from "../../internal/bus/contract.ts";
import { updateJson } from "../../internal/bus/update.ts";
import { RouteTable } from "../../internal/projector/fold/route-table.ts";
import { answerQuery } from "../../internal/projector/query.ts";
import { HoldfastError } from "../../internal/status/errors.ts";
import {
  BeatSchema,
  DeliverAnswerSchema,
  DeliverSchema,
  type Order,
  OrderAnswerSchema,
  OrderSchema,
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { type Accepted, RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { type Message, ServerFrameSchema } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { partitionOf } from "../../streams/partition.ts";
import type { Receipt, Route, UserDevice } from "../../streams/records.ts";
import {
  nodeBeatSubject,
  nodeControlSubject,
  nodePushSubject,
  type PushLane,
  projectorQuerySubject,
  routeKey,
  userKey,
} from "../../streams/subjects.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";

export const PARTITIONS = 4;
/** The projectors: the first has all partitions until they are moved. */
export const PROJECTORS = ["p1", "p2"] as const;
export const APP = "demo";

/** Messages in memory, where requests to frozen subjects time out at once. */
class FakeMessages extends MemoryMessages {
  readonly frozen = new Set<string>();

  override request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (!this.frozen.has(subject)) return super.request(subject, payload, timeoutMs);
    this.publish(subject, payload);
    return Promise.reject(new HoldfastError("timeout", `no answer on ${subject}`));
  }
}

/** What a node got: the message, for which connection, and on which lane. */
export interface Delivered {
  counter: bigint;
  lane: PushLane;
  message: Message;
}

export class FakeNode {
  readonly delivered: Delivered[] = [];
  readonly orders: Order[] = [];
  /** How many connections each Deliver named. */
  readonly batches: number[] = [];
  readonly connections = new Set<bigint>();
  readonly incarnation: string;
  readonly #twins = new Set<bigint>();

  constructor(incarnation: string) {
    this.incarnation = incarnation;
  }

  texts(): string[] {
    return this.delivered.map(({ message }) => String(message.payload.value));
  }

  /** False for a connection that it does not have. */
  obey(order: Order): boolean {
    const { body } = order;
    const named = body.case === "kick" || body.case === "setRooms";
    if (named && !this.connections.has(body.value.connection)) return false;
    this.orders.push(order);
    return true;
  }

  take(data: Uint8Array, lane: PushLane): Uint8Array {
    const { connections, frame, twin } = fromBinary(DeliverSchema, data);
    const isSecond = twin !== 0n && this.#twins.has(twin);
    this.#twins.add(twin);
    if (!isSecond) this.batches.push(connections.length);
    const message = messageIn(frame);
    const missing: bigint[] = [];
    for (const counter of connections) {
      if (!this.connections.has(counter)) missing.push(counter);
      else if (!isSecond) this.delivered.push({ counter, lane, message });
    }
    return toBinary(DeliverAnswerSchema, create(DeliverAnswerSchema, { missing }));
  }
}

export function messageIn(frame: Uint8Array): Message {
  const { body } = fromBinary(ServerFrameSchema, frame);
  if (body.case !== "push" || body.value.message === undefined) throw new Error("no push");
  return body.value.message;
}

/** The room stream: stores at once, or when told to. */
export class FakeAppender implements Appender {
  readonly appended: { subject: string; message: Message }[] = [];
  ready = true;
  storing = true;
  readonly #waiting: (() => void)[] = [];

  append(subject: string, payload: Uint8Array, stored?: Stored): void {
    this.appended.push({ subject, message: messageIn(payload) });
    const sequence = this.appended.length;
    if (this.storing) queueMicrotask(() => stored?.(sequence, false));
    else this.#waiting.push(() => stored?.(sequence, false));
  }

  storeAll(): void {
    for (const store of this.#waiting.splice(0)) store();
  }

  appendFirst(): void {
    throw new Error("rooms have no records that must be first");
  }

  get backlog(): number {
    return this.#waiting.length;
  }

  readonly oldestAgeMs = 0;

  hold(): void {}
  release(): void {}
  discard(): void {}
}

/** The log, as far as must-arrive messages go: knows message ids, and refuses what a test says. */
export class FakeLogAppender {
  readonly accepted: { subject: string; record: Accepted }[] = [];
  readonly forgotten: object[] = [];
  readonly owners: (object | undefined)[] = [];
  ready = true;
  storing = true;
  refuseBecause: HoldfastError | undefined;
  readonly #ids = new Map<string, number>();
  #sequence = 100;

  forget(owner: object): void {
    this.forgotten.push(owner);
  }

  append(
    _key: string,
    subject: string,
    payload: Uint8Array,
    stored?: Stored,
    { headers, refused, owner }: AppendOptions = {},
  ): void {
    this.owners.push(owner);
    if (!this.storing) return;
    const why = this.refuseBecause;
    if (why !== undefined) {
      queueMicrotask(() => refused?.(why));
      return;
    }
    const id = headers?.["Nats-Msg-Id"] ?? "";
    const before = this.#ids.get(id);
    this.#sequence += 1;
    const sequence = before ?? this.#sequence;
    if (before === undefined) {
      const { body } = fromBinary(RecordSchema, payload);
      if (body.case !== "accepted") throw new Error("not an accepted message");
      this.accepted.push({ subject, record: body.value });
      this.#ids.set(id, sequence);
    }
    queueMicrotask(() => stored?.(sequence, before !== undefined));
  }
}

export class FakeReceipts implements Receipts {
  readonly written: Receipt[] = [];

  write(receipt: Receipt): void {
    this.written.push(receipt);
  }

  async read(app: string, messageId: string): Promise<Receipt[]> {
    return this.written.filter((one) => one.app === app && one.messageId === messageId);
  }
}

/** Who owns each partition, as the push role sees it. */
export class FakeLeases {
  readonly owners: string[] = new Array(PARTITIONS).fill(PROJECTORS[0]);

  ownerOf(partition: number): string {
    return this.owners[partition] ?? "";
  }
}

/** What the cluster lives on: memory, or a real broker. */
export interface Ground {
  leases: FakeLeases;
  messages: Messages;
  highMessages: Messages;
  routes: Bucket;
  users: Bucket;
}

/** Everything in memory, and open to tampering. */
export class MemoryGround implements Ground {
  readonly messages = new FakeMessages();
  readonly highMessages = new FakeMessages();
  readonly routes = new MemoryBucket();
  readonly users = new MemoryBucket();
  readonly rooms = new MemoryBucket();
  readonly businesses = new MemoryBucket();
  readonly roomAppender = new FakeAppender();
  readonly logAppender = new FakeLogAppender();
  readonly receipts = new FakeReceipts();
  readonly fullMailboxes = new Set<string>();
  readonly leases = new FakeLeases();
  readonly mailboxes = {
    isFull: (_app: string, device: string) => this.fullMailboxes.has(device),
  };
  /** Why the log takes no more messages. */
  lacking: string | undefined;
  readonly headroom = { lacking: () => this.lacking };
  readonly link: Link & { connected: boolean } = {
    connected: true,
    watch: () => ({ stop() {} }),
  };
}

export class FakeCluster<G extends Ground = Ground> {
  readonly ground: G;
  /** How many questions the owners were asked. */
  questions = 0;
  /** The first answer takes this long, milliseconds; the others come at once. */
  firstAnswerMs = 0;
  /** What an answer may hold. */
  answerBytes = 512 * 1024;
  /** Partitions whose owner is behind its log. */
  readonly behind = new Set<number>();
  /** Devices that have been gone for so long that their owner has forgotten them. */
  readonly forgotten = new Set<string>();
  /** What the owners know; the buckets are told separately. */
  readonly #known = new Map<string, Route>();
  /** By partition: who really has it. */
  readonly #owners: string[] = new Array(PARTITIONS).fill(PROJECTORS[0]);
  readonly #projectors = new Map<string, Subscription>();
  readonly #nodes = new Map<FakeNode, Subscription[]>();
  #tables: RouteTable[] | undefined;
  #counter = 0n;

  constructor(ground: G) {
    this.ground = ground;
    for (const projector of PROJECTORS) this.#startProjector(projector);
  }

  /** Nobody has the partition, and everybody knows. */
  ownerLeaves(partition: number): void {
    this.moves(partition, "");
    this.ground.leases.owners[partition] = "";
  }

  ownersLeave(): void {
    for (const partition of this.#owners.keys()) this.ownerLeaves(partition);
  }

  /** Another projector has it, or nobody; the leases are told separately. */
  moves(partition: number, projector: string): void {
    this.#owners[partition] = projector;
  }

  /** Without a word: the leases still name it. */
  projectorDies(projector: string): void {
    this.#projectors.get(projector)?.stop();
  }

  #startProjector(projector: string): void {
    const subscription = this.ground.messages.subscribe(
      projectorQuerySubject(projector),
      (question) => {
        const delayMs = this.questions++ === 0 ? this.firstAnswerMs : 0;
        const answer = () => question.respond(this.#answer(projector, question.data));
        if (delayMs > 0) setTimeout(answer, delayMs);
        else answer();
      },
    );
    this.#projectors.set(projector, subscription);
  }

  node(incarnation: string): FakeNode {
    const node = new FakeNode(incarnation);
    const take = (messages: Messages, lane: PushLane) =>
      messages.subscribe(nodePushSubject(incarnation, lane), (message) =>
        message.respond(node.take(message.data, lane)),
      );
    const orders = this.ground.messages.subscribe(nodeControlSubject(incarnation), (message) => {
      const taken = node.obey(fromBinary(OrderSchema, message.data));
      message.respond(toBinary(OrderAnswerSchema, create(OrderAnswerSchema, { taken })));
    });
    this.#nodes.set(node, [
      take(this.ground.messages, "lo"),
      take(this.ground.highMessages, "hi"),
      orders,
    ]);
    return node;
  }

  nodeLeaves(node: FakeNode): void {
    for (const subscription of this.#nodes.get(node) ?? []) subscription.stop();
  }

  beat(incarnation: string, name: string): void {
    const endpoints = [{ url: `ws://${name}/connect`, protocol: "websocket" }];
    const beat = create(BeatSchema, {
      incarnation,
      name,
      startedAtMs: 1_700_000_000_000n,
      endpoints,
      version: "1.0.0",
    });
    this.ground.messages.publish(nodeBeatSubject(incarnation), toBinary(BeatSchema, beat));
  }

  /** A connection at a node that its owner knows of. */
  login(device: string, node: FakeNode, about: Partial<Route> = {}): Route {
    const counter = ++this.#counter;
    node.connections.add(counter);
    const route: Route = {
      app: APP,
      device,
      user: "",
      online: true,
      connection: `${node.incarnation}.${counter}`,
      node: node.incarnation,
      platform: "web",
      appVersion: "1.2.3",
      address: "192.0.2.1",
      businesses: [],
      since: 1_700_000_000_000,
      lastSeen: 1_700_000_001_000,
      rooms: [],
      sequence: Number(counter),
      reason: "",
      loginNumber: 0,
      ...about,
    };
    this.#know(route);
    return route;
  }

  logout(route: Route, node: FakeNode): Route {
    node.connections.delete(BigInt(route.connection.slice(route.connection.lastIndexOf(".") + 1)));
    const offline = { ...route, online: false, reason: "client-closed" };
    this.#know(offline);
    return offline;
  }

  /** Writes a route into the buckets, as its owner does a moment after it has folded the record. */
  async inBuckets(route: Route): Promise<void> {
    const { app, device, user } = route;
    const partition = partitionOf(app, device, PARTITIONS);
    const { routes, users } = this.ground;
    await updateJson<Route>(routes, routeKey(partition, app, device), () => route);
    if (user === "") return;
    await updateJson<UserDevice>(users, userKey(app, user, device), () => ({ at: 0 }));
  }

  #know(route: Route): void {
    this.#known.set(keyOf(route), route);
    this.#tables = undefined;
  }

  #answer(projector: string, question: Uint8Array): Uint8Array {
    const query = fromBinary(PartitionQuerySchema, question);
    const own = query.partitions.filter((partition) => this.#owners[partition] === projector);
    const tables = new Map<number, RouteTable>();
    for (const partition of own) {
      if (!this.behind.has(partition)) tables.set(partition, this.#table(partition));
    }
    const { answerBytes } = this;
    const answer = answerQuery(query, { tables, partitions: PARTITIONS, answerBytes });
    answer.unavailable = own.filter((partition) => this.behind.has(partition));
    answer.notMine = query.partitions.filter((partition) => !own.includes(partition));
    return toBinary(PartitionAnswerSchema, answer);
  }

  #table(partition: number): RouteTable {
    this.#tables ??= Array.from({ length: PARTITIONS }, (_, p) => {
      const own = [...this.#known.values()].filter(
        ({ app, device }) =>
          partitionOf(app, device, PARTITIONS) === p && !this.forgotten.has(device),
      );
      return RouteTable.restore({ sequence: 0, numbers: {}, dead: {} }, own);
    });
    const table = this.#tables[partition];
    if (table === undefined) throw new Error(`there is no partition ${partition}`);
    return table;
  }
}

function keyOf({ app, device }: { app: string; device: string }): string {
  return `${app}\n${device}`;
}
