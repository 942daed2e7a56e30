import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type PartitionAnswer,
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { partitionQuerySubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";

/** An owner answers from memory. */
const ANSWER_TIMEOUT_MS = 300;
/** An owner that is frozen would cost every call the timeout, until its lease lapses. */
const PAUSE_AFTER_TIMEOUT_MS = 1_000;

export type Query = NonNullable<MessageInitShape<typeof PartitionQuerySchema>["body"]>;

/** The projectors that own the partitions, as those who answer questions about the log's present. */
export class PartitionOwners {
  readonly partitions: number;
  readonly #messages: Messages;
  readonly #clock: Clock;
  /** By partition: do not ask before this, monotonic milliseconds. */
  readonly #pausedUntil: number[];

  constructor(options: { messages: Messages; partitions: number; clock?: Clock }) {
    this.partitions = options.partitions;
    this.#messages = options.messages;
    this.#clock = options.clock ?? systemClock;
    this.#pausedUntil = new Array(options.partitions).fill(0);
  }

  /** The owner's answer, or undefined when there is no owner now or it does not answer in time. */
  async ask(partition: number, query: Query): Promise<PartitionAnswer | undefined> {
    if (this.#clock.monotonic() < (this.#pausedUntil[partition] ?? 0)) return undefined;
    const question = toBinary(PartitionQuerySchema, create(PartitionQuerySchema, { body: query }));
    try {
      const answer = await this.#messages.request(
        partitionQuerySubject(partition),
        question,
        ANSWER_TIMEOUT_MS,
      );
      return fromBinary(PartitionAnswerSchema, answer);
    } catch (reason) {
      const { code } = HoldfastError.from(reason);
      if (code === "timeout") {
        this.#pausedUntil[partition] = this.#clock.monotonic() + PAUSE_AFTER_TIMEOUT_MS;
      } else if (code !== "unavailable") {
        throw reason;
      }
      return undefined;
    }
  }

  /**
   * The answers of all partitions.
   * @throws HoldfastError `unavailable` when one does not answer: a sum without it would be wrong.
   */
  async askAll(query: Query): Promise<PartitionAnswer[]> {
    return Promise.all(
      Array.from({ length: this.partitions }, async (_, partition) => {
        const answer = await this.ask(partition, query);
        if (answer !== undefined) return answer;
        throw new HoldfastError(
          "unavailable",
          `nobody owns partition ${partition} at the moment; try again in some seconds`,
        );
      }),
    );
  }
}
