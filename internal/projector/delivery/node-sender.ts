import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DeliverAnswer,
  DeliverAnswerSchema,
  DeliverSchema,
  type Delivery,
  DeliverySchema,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodePushSubject } from "../../../streams/subjects.ts";
import type { Messages } from "../../bus/contract.ts";
import type { Logger } from "../../observe/logger.ts";
import { HoldfastError } from "../../status/errors.ts";
import type { DeliveryEffect } from "./effects.ts";

const ANSWER_TIMEOUT_MS = 2_000;
/** What one message to a node may carry: far below what NATS takes, and no long write loop. */
const BATCH = 256;
const BATCH_BYTES = 256 * 1_024;

export type Send = DeliveryEffect & { kind: "send" };

/** Who is told what became of a sending. */
export interface SendObserver {
  /** `atMs`: when the node wrote it, Unix ms; 0 when it did not say. */
  written(send: Send, atMs: number): void;
  notWritten(send: Send): void;
}

interface Item {
  readonly send: Send;
  readonly observer: SendObserver;
}

/**
 * Hands must-arrive messages to the nodes, one message for all that is for a node at a time, whichever
 * partitions it comes from: what the log gives in one go leaves in one go.
 */
export class NodeSender {
  readonly #messages: Messages;
  readonly #log: Pick<Logger, "warn">;
  #waiting = new Map<string, Item[]>();

  constructor(messages: Messages, log: Pick<Logger, "warn">) {
    this.#messages = messages;
    this.#log = log;
  }

  /** In order for each node. */
  send(send: Send, observer: SendObserver): void {
    if (this.#waiting.size === 0) queueMicrotask(() => this.#flush());
    const { node } = send.connection;
    const items = this.#waiting.get(node);
    if (items === undefined) this.#waiting.set(node, [{ send, observer }]);
    else items.push({ send, observer });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = new Map();
    for (const [node, items] of waiting) {
      for (const batch of batches(items)) void this.#deliver(node, batch);
    }
  }

  /** What gets lost on the way is sent again by the fold, so a failure needs nothing. */
  async #deliver(node: string, batch: readonly Item[]): Promise<void> {
    const deliver = create(DeliverSchema, { deliveries: batch.map(deliveryOf) });
    const payload = toBinary(DeliverSchema, deliver);
    let answer: DeliverAnswer;
    try {
      const subject = nodePushSubject(node, "lo");
      const bytes = await this.#messages.request(subject, payload, ANSWER_TIMEOUT_MS);
      answer = fromBinary(DeliverAnswerSchema, bytes);
    } catch (reason) {
      if (HoldfastError.from(reason).code !== "internal") return;
      this.#log.warn({ node, err: reason }, "must-arrive: a node could not be sent to");
      return;
    }
    const atMs = Number(answer.atMs);
    const unwritten = new Set(answer.unwritten);
    for (const [index, { send, observer }] of batch.entries()) {
      if (unwritten.has(index)) observer.notWritten(send);
      else observer.written(send, atMs);
    }
  }
}

function deliveryOf({ send: { connection, entry, frame, after } }: Item): Delivery {
  return create(DeliverySchema, {
    connection: BigInt(connection.counter),
    frame,
    deliverySequence: BigInt(entry.sequence),
    after: BigInt(after),
  });
}

function* batches(items: readonly Item[]): Generator<readonly Item[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, { send }] of items.entries()) {
    const { length } = send.frame;
    if (index > start && (index - start === BATCH || bytes + length > BATCH_BYTES)) {
      yield items.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += length;
  }
  if (start < items.length) yield start === 0 ? items : items.slice(start);
}
