/** Takes unicast messages of the push API off the bus and hands them to the sessions they name. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DeliverAnswerSchema,
  DeliverSchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodePushSubject } from "../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../bus/contract.ts";
import type { Logger } from "../observe/logger.ts";
import { SharedFrame } from "../wire/shared-frame.ts";
import type { AccessMetrics } from "./metrics.ts";
import { priorityOf } from "./priority.ts";
import type { SessionTable } from "./session-table.ts";

/** Nothing missing, the usual answer, encodes to nothing. */
const ALL_DELIVERED = new Uint8Array();

export interface PushIntakeOptions {
  /** Normal and low priority. */
  messages: Messages;
  /** High priority: a connection of its own, so that a backlog of the others does not delay it. */
  urgent: Messages;
  table: SessionTable;
  metrics: AccessMetrics;
  logger: Logger;
}

export class PushIntake {
  readonly #options: PushIntakeOptions;
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
   * Every envelope is answered, also when nothing is missing: only the answer tells the push API
   * that the message was sent to the client.
   */
  #receive(received: Received): void {
    const { table, metrics, logger } = this.#options;
    metrics.deliveries += 1;
    try {
      const { connections, frame: encoded, priority } = fromBinary(DeliverSchema, received.data);
      const frame = SharedFrame.fromBinary(encoded);
      const missing: bigint[] = [];
      for (const connection of connections) {
        const session = table.loggedIn(Number(connection));
        if (session === undefined) missing.push(connection);
        else session.deliver(frame, priorityOf(priority));
      }
      received.respond(missing.length === 0 ? ALL_DELIVERED : encodeAnswer(missing));
    } catch (error) {
      metrics.faults += 1;
      logger.error({ err: error }, "a delivery could not be read");
    }
  }
}

function encodeAnswer(missing: bigint[]): Uint8Array {
  return toBinary(DeliverAnswerSchema, create(DeliverAnswerSchema, { missing }));
}
