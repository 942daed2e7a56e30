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
  partitionQuerySubject,
  routeKey,
  userKey,
} from "../../streams/subjects.ts";
import { MemoryBucket } from "../support/memory-bucket.ts";
import { MemoryMessages } from "../support/memory-messages.ts";

export const PARTITIONS = 4;
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

/** What the cluster lives on: memory, or a real broker. */
export interface Ground {
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
  /** The most answers an owner gives at a time. */
  maxAnswers = Number.POSITIVE_INFINITY;
  /** What the owners know; the buckets are told separately. */
  readonly #known = new Map<string, Route>();
  readonly #owners = new Map<number, Subscription>();
  readonly #nodes = new Map<FakeNode, Subscription[]>();
  #counter = 0n;

  constructor(ground: G) {
    this.ground = ground;
    for (let partition = 0; partition < PARTITIONS; partition++) this.ownerReturns(partition);
  }

  ownerLeaves(partition: number): void {
    this.#owners.get(partition)?.stop();
  }

  ownersLeave(): void {
    for (const partition of this.#owners.keys()) this.ownerLeaves(partition);
  }

  ownerReturns(partition: number): void {
    const subscription = this.ground.messages.subscribe(
      partitionQuerySubject(partition),
      (question) => {
        const delayMs = this.questions++ === 0 ? this.firstAnswerMs : 0;
        const answer = () => question.respond(this.#answer(partition, question.data));
        if (delayMs > 0) setTimeout(answer, delayMs);
        else answer();
      },
    );
    this.#owners.set(partition, subscription);
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
    this.#known.set(keyOf(route), route);
    return route;
  }

  logout(route: Route, node: FakeNode): Route {
    node.connections.delete(BigInt(route.connection.slice(route.connection.lastIndexOf(".") + 1)));
    const offline = { ...route, online: false, reason: "client-closed" };
    this.#known.set(keyOf(route), offline);
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

  #answer(partition: number, question: Uint8Array): Uint8Array {
    const { body } = fromBinary(PartitionQuerySchema, question);
    if (body.case === undefined) throw new Error("no question");
    const { app } = body.value;
    const own = () =>
      [...this.#known.values()].filter(
        (route) => route.app === app && partitionOf(app, route.device, PARTITIONS) === partition,
      );
    const online = () => own().filter((route) => route.online);
    const answer = create(PartitionAnswerSchema);
    switch (body.case) {
      case "devices":
        answer.routes = body.value.devices.slice(0, this.maxAnswers).map((device) => {
          const route = this.#known.get(keyOf({ app, device }));
          return route === undefined ? "" : JSON.stringify(route);
        });
        break;
      case "users":
        answer.users = body.value.users.slice(0, this.maxAnswers).map((user) => ({
          $typeName: "holdfast.cluster.v1.UserRoutes",
          routes: own()
            .filter((route) => route.user === user)
            .map((route) => JSON.stringify(route)),
        }));
        break;
      case "rooms":
        answer.roomCounts = body.value.rooms.map(
          (room) => online().filter((route) => route.rooms.includes(room)).length,
        );
        break;
      case "members": {
        const { room, after, limit } = body.value;
        answer.members = online()
          .filter((route) => route.rooms.includes(room) && route.device > after)
          .sort((a, b) => (a.device < b.device ? -1 : 1))
          .slice(0, limit)
          .map(({ device, user }) => ({ $typeName: "holdfast.cluster.v1.Member", device, user }));
        break;
      }
      case "nodes":
        for (const { node } of online()) {
          answer.nodeConnections[node] = (answer.nodeConnections[node] ?? 0) + 1;
        }
        break;
    }
    return toBinary(PartitionAnswerSchema, answer);
  }
}

function keyOf({ app, device }: { app: string; device: string }): string {
  return `${app}\n${device}`;
}
