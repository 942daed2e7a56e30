/** Takes messages of the push API and of the owners of partitions off the bus and hands them to the sessions they name. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Deliver,
  DeliverAnswerSchema,
  DeliverSchema,
  type Delivery,
} from "../../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodePushSubject } from "../../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../../bus/contract.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../observe/logger.ts";
import { SharedFrame } from "../../wire/shared-frame.ts";
import type { AccessMetrics } from "../metrics.ts";
import { Priority, priorityOf } from "../session/priority.ts";
import type { SessionTable } from "../session/session-table.ts";
import type { Deliveries } from "./deliveries.ts";
import { RecentIds } from "./recent-ids.ts";

/** The second copy of a message comes within moments. */
const TWINS_KEPT = 8_192;
/** Nothing missing, the usual answer, encodes to nothing. */
const ALL_DELIVERED = new Uint8Array();

export interface PushIntakeOptions {
  /** Normal and low priority. */
  messages: Messages;
  /** High priority: a connection of its own, so that a backlog of the others does not delay it. */
  urgent: Messages;
  table: SessionTable;
  deliveries: Deliveries;
  clock: Clock;
  metrics: AccessMetrics;
  logger: Logger;
}

export class PushIntake {
  readonly #options: PushIntakeOptions;
  readonly #twins = new RecentIds(TWINS_KEPT);
  #subscriptions: Subscription[] = [];

  constructor(options: PushIntakeOptions) {
    this.#options = options;
  }

  /** Listens for what is sent to this incarnation, and no longer for what was sent to the last. */
  listen(incarnation: string): void {
    const { messages, urgent } = this.#options;
    this.stop();
    const receive = (received: Received) => this.#receive(received);
    this.#subscriptions = [
      messages.subscribe(nodePushSubject(incarnation, "lo"), receive),
      urgent.subscribe(nodePushSubject(incarnation, "hi"), receive),
    ];
  }

  stop(): void {
    for (const subscription of this.#subscriptions) subscription.stop();
    this.#subscriptions = [];
  }

  /**
   * Every envelope is answered, also when nothing is missing: only the answer tells who sent it that
   * the message was sent to the client.
   */
  #receive(received: Received): void {
    const { metrics, logger } = this.#options;
    metrics.deliveries += 1;
    try {
      const deliver = fromBinary(DeliverSchema, received.data);
      if (deliver.deliveries.length > 0) received.respond(this.#mustArrive(deliver.deliveries));
      else received.respond(this.#push(deliver));
    } catch (error) {
      metrics.faults += 1;
      logger.error({ err: error }, "a delivery could not be read");
    }
  }

  /** One frame for many connections. */
  #push({ connections, frame: encoded, priority, twin }: Deliver): Uint8Array {
    const { table, metrics } = this.#options;
    const frame = SharedFrame.fromBinary(encoded);
    const isSecond = twin !== 0n && !this.#twins.add(twin);
    if (isSecond) metrics.duplicatesDropped += 1;
    const missing: bigint[] = [];
    for (const connection of connections) {
      const session = table.loggedIn(Number(connection));
      if (session === undefined) missing.push(connection);
      else if (!isSecond) session.deliver(frame, priorityOf(priority));
    }
    return missing.length === 0 ? ALL_DELIVERED : encodeAnswer({ missing });
  }

  /** A frame of its own for each connection. All of one priority, so that none overtakes another. */
  #mustArrive(all: readonly Delivery[]): Uint8Array {
    const { table, deliveries, clock, metrics } = this.#options;
    const unwritten: number[] = [];
    for (const [index, { connection, frame, deliverySequence, after }] of all.entries()) {
      const counter = Number(connection);
      const session = table.loggedIn(counter);
      if (session === undefined) {
        unwritten.push(index);
      } else if (!deliveries.take(counter, Number(deliverySequence), Number(after))) {
        metrics.gaps += 1;
        unwritten.push(index);
      } else {
        metrics.mustArrive += 1;
        session.deliver(SharedFrame.fromBinary(frame), Priority.NORMAL);
      }
    }
    return encodeAnswer({ unwritten, atMs: BigInt(clock.now()) });
  }
}

function encodeAnswer(answer: MessageInitShape<typeof DeliverAnswerSchema>): Uint8Array {
  return toBinary(DeliverAnswerSchema, create(DeliverAnswerSchema, answer));
}
