import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { projectorQuerySubject } from "../../streams/subjects.ts";
import type { Messages, Received, Subscription } from "../bus/contract.ts";
import type { RouteTable } from "./fold/route-table.ts";
import type { PartitionOwner } from "./partition-owner.ts";
import { answerQuery } from "./query.ts";

export interface QueriesOptions {
  /** The projector's. */
  id: string;
  partitions: number;
  messages: Messages;
  /** The owner at work; undefined where this projector may not speak for the partition. */
  ownerOf(partition: number): PartitionOwner | undefined;
}

/** Answers questions about the partitions of this projector, each once for all of them. */
export class Queries {
  readonly #options: QueriesOptions;
  #subscription: Subscription | undefined;

  constructor(options: QueriesOptions) {
    this.#options = options;
  }

  start(): void {
    const { id, messages } = this.#options;
    this.#subscription = messages.subscribe(projectorQuerySubject(id), (message) =>
      this.#receive(message),
    );
  }

  stop(): void {
    this.#subscription?.stop();
  }

  /** Answers when all the owners have folded what their logs held now, or cannot wait any longer. */
  #receive(message: Received): void {
    const { ownerOf, partitions } = this.#options;
    const query = fromBinary(PartitionQuerySchema, message.data);
    const unavailable: number[] = [];
    let waiting = 1;
    const ready = () => {
      waiting -= 1;
      if (waiting > 0) return;
      const tables = new Map<number, RouteTable>();
      const notMine: number[] = [];
      for (const partition of query.partitions) {
        if (unavailable.includes(partition)) continue;
        const owner = ownerOf(partition);
        if (owner === undefined) notMine.push(partition);
        else tables.set(partition, owner.table);
      }
      const answer = answerQuery(query, { tables, partitions });
      Object.assign(answer, { unavailable, notMine });
      message.respond(toBinary(PartitionAnswerSchema, answer));
    };
    for (const partition of query.partitions) {
      const owner = ownerOf(partition);
      if (owner === undefined) continue;
      waiting += 1;
      owner.whenExact(query.waitMs, (exact) => {
        if (!exact) unavailable.push(partition);
        ready();
      });
    }
    ready();
  }
}
