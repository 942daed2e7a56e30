import { randomBytes } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DeliverAnswerSchema,
  DeliverSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { Status } from "../../proto/gen/holdfast/push/v1/push_pb.ts";
import { Message_Priority } from "../../proto/gen/holdfast/wire/v1/wire_pb.ts";
import { nodePushSubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import { HoldfastError } from "../status/errors.ts";
import { encodeFrame, type OutgoingMessage } from "./message.ts";
import { type NodeBatch, NodeBatches } from "./node-batches.ts";
import type { Place, Resolver } from "./resolver.ts";
import type { Location, RouteCache } from "./route-cache.ts";

/** Connections in one Deliver, so that one node's answer does not wait for a long write loop. */
const MAX_BATCH = 5_000;
const ANSWER_TIMEOUT_MS = 2_000;

/** Of devices that are not known to be online. */
const STATUS_OF = {
  offline: Status.OFFLINE,
  unknown: Status.UNKNOWN,
  uncertain: Status.REFUSED,
} as const;

/** What delivering needs of the rest. */
export interface UnicastContext {
  messages: Messages;
  /** A connection of its own, so that a flood of normal messages does not delay urgent ones. */
  highMessages: Messages;
  resolver: Resolver;
  cache: RouteCache;
}

/** A target that its node did not get. */
export interface Failure {
  readonly target: number;
  readonly location: Location;
  /** False when the node may have got it all the same: then only another connection is tried. */
  readonly certain: boolean;
}

/** One message on its way to many devices. */
export class Attempt {
  /** By target. What nobody reports as failed is sent. */
  readonly statuses: Status[];
  readonly #context: UnicastContext;
  readonly #app: string;
  readonly #devices: readonly string[];
  readonly #message: OutgoingMessage;
  readonly #frame: Uint8Array;

  constructor(
    context: UnicastContext,
    app: string,
    devices: readonly string[],
    message: OutgoingMessage,
  ) {
    this.statuses = new Array<Status>(devices.length).fill(Status.SENT);
    this.#context = context;
    this.#app = app;
    this.#devices = devices;
    this.#message = message;
    this.#frame = encodeFrame(message);
  }

  fail(target: number, status: Status): void {
    this.statuses[target] = status;
    this.#context.cache.delete(this.#app, this.#device(target));
  }

  /** Batches of the devices that are online, from the cache where possible. */
  async locate(): Promise<NodeBatch[]> {
    const batches = new NodeBatches(MAX_BATCH);
    const misses: number[] = [];
    for (let target = 0; target < this.#devices.length; target++) {
      const location = this.#context.cache.get(this.#app, this.#device(target));
      if (location === undefined) misses.push(target);
      else batches.add(target, location);
    }
    if (misses.length > 0) {
      await this.#resolve(misses, (target, location) => batches.add(target, location));
    }
    return batches.all;
  }

  /** Batches of those failures that are worth another attempt. */
  async locateAgain(failures: readonly Failure[]): Promise<NodeBatch[]> {
    const batches = new NodeBatches(MAX_BATCH);
    const failed = new Map(failures.map((failure) => [failure.target, failure]));
    await this.#resolve([...failed.keys()], (target, location) => {
      const failure = failed.get(target);
      if (failure?.certain || !same(failure?.location, location)) batches.add(target, location);
      else this.fail(target, Status.OFFLINE);
    });
    return batches.all;
  }

  /** Publishes at once; resolves to what failed when every node has answered. */
  async deliver(batches: readonly NodeBatch[]): Promise<Failure[]> {
    if (batches.length === 0) return [];
    const failures = await Promise.all(batches.map((batch) => this.#deliverTo(batch)));
    return failures.flat();
  }

  async #resolve(
    targets: readonly number[],
    online: (target: number, location: Location) => void,
  ): Promise<void> {
    let places: readonly Place[];
    try {
      const devices = targets.map((target) => this.#device(target));
      places = await this.#context.resolver.locate(this.#app, devices);
    } catch (reason) {
      if (HoldfastError.from(reason).code === "internal") throw reason;
      for (const target of targets) this.fail(target, Status.REFUSED);
      return;
    }
    for (const [i, target] of targets.entries()) {
      const place = places[i] ?? "unknown";
      if (typeof place === "string") {
        this.fail(target, STATUS_OF[place]);
      } else {
        this.#context.cache.set(this.#app, this.#device(target), place);
        online(target, place);
      }
    }
  }

  async #deliverTo(batch: NodeBatch): Promise<Failure[]> {
    const high = this.#message.priority === Message_Priority.HIGH;
    const deliver = create(DeliverSchema, {
      connections: batch.counters,
      frame: this.#frame,
      messageId: this.#message.id,
      priority: this.#message.priority,
      twin: high ? randomTwin() : 0n,
    });
    try {
      const envelope = toBinary(DeliverSchema, deliver);
      const answer = await (high ? this.#sendTwice(batch, envelope) : this.#send(batch, envelope));
      return answer.length === 0 ? [] : missingOf(batch, answer);
    } catch (reason) {
      const { code } = HoldfastError.from(reason);
      if (code !== "unavailable" && code !== "timeout") throw reason;
      return batch.targets.map((_, i) => failureOf(batch, i, code === "unavailable"));
    }
  }

  #send(batch: NodeBatch, envelope: Uint8Array): Promise<Uint8Array> {
    const { messages } = this.#context;
    return messages.request(nodePushSubject(batch.node, "lo"), envelope, ANSWER_TIMEOUT_MS);
  }

  /**
   * An urgent message goes two ways that have nothing in common, from here to the node: a connection
   * that is broken or stuck costs no time. The node writes what comes first; the first answer counts.
   */
  async #sendTwice(batch: NodeBatch, envelope: Uint8Array): Promise<Uint8Array> {
    const { highMessages } = this.#context;
    const subject = nodePushSubject(batch.node, "hi");
    try {
      return await Promise.any([
        highMessages.request(subject, envelope, ANSWER_TIMEOUT_MS),
        this.#send(batch, envelope),
      ]);
    } catch (reason) {
      throw reason instanceof AggregateError ? reason.errors[0] : reason;
    }
  }

  #device(target: number): string {
    return this.#devices[target] ?? "";
  }
}

/** Never 0. */
function randomTwin(): bigint {
  return randomBytes(8).readBigUInt64LE() | 1n;
}

function missingOf(batch: NodeBatch, answer: Uint8Array): Failure[] {
  const missing = new Set(fromBinary(DeliverAnswerSchema, answer).missing);
  const failures: Failure[] = [];
  for (const [i, counter] of batch.counters.entries()) {
    if (missing.has(counter)) failures.push(failureOf(batch, i, true));
  }
  return failures;
}

function failureOf(batch: NodeBatch, i: number, certain: boolean): Failure {
  const { node, counters, targets } = batch;
  return { target: targets[i] ?? 0, location: { node, counter: counters[i] ?? 0n }, certain };
}

function same(a: Location | undefined, b: Location): boolean {
  return a?.node === b.node && a.counter === b.counter;
}
