import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type PartitionAnswer,
  PartitionAnswerSchema,
  PartitionQuerySchema,
} from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { projectorQuerySubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import { type Clock, systemClock } from "../clock/clock.ts";
import { HoldfastError } from "../status/errors.ts";

/** How long an owner may take to catch up with its log, and whoever moves a partition to find its owner. */
const PATIENCE_MS = 2_000;
/** The answer itself comes from memory. */
const ANSWER_MS = 500;
/** An owner that is frozen would cost every call the timeout, until somebody takes over from it. */
const PAUSE_AFTER_TIMEOUT_MS = 1_000;
/** Between two looks at who owns a partition that nobody answers for. */
const FIRST_LOOK_MS = 25;

export type Query = NonNullable<MessageInitShape<typeof PartitionQuerySchema>["body"]>;

/** Why there is no word on a partition. */
export type Silence =
  /** It has no owner. */
  | "nobody"
  /** Its owner is frozen, cut off or gone, or too far behind its log. */
  | "silent";

export interface Told {
  answers: PartitionAnswer[];
  /** The partitions of which they say nothing. */
  silent: Map<number, Silence>;
}

export interface AskOptions {
  /** Where the answer is to begin: the `rest` of an earlier one. */
  after?: string;
  /** A partition that has no owner will have one in a moment, if anybody is there: wait for it. */
  patient?: boolean;
}

export interface PartitionOwnersOptions {
  messages: Messages;
  partitions: number;
  leases: { ownerOf(partition: number): string };
  clock?: Clock;
}

/** The projectors that own the partitions, as those who answer questions about the log's present. */
export class PartitionOwners {
  readonly partitions: number;
  /** Every partition. */
  readonly all: readonly number[];
  readonly #messages: Messages;
  readonly #leases: PartitionOwnersOptions["leases"];
  readonly #clock: Clock;
  /** By projector: do not ask before this, monotonic milliseconds. */
  readonly #pausedUntil = new Map<string, number>();

  constructor(options: PartitionOwnersOptions) {
    this.partitions = options.partitions;
    this.all = Array.from({ length: options.partitions }, (_, partition) => partition);
    this.#messages = options.messages;
    this.#leases = options.leases;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * What the owners say about these partitions: all that their logs held when they were asked. Each
   * projector is asked once, for all that it owns; what it has lost since is asked of its new owner.
   */
  async ask(
    query: Query,
    partitions: Iterable<number>,
    { after = "", patient = false }: AskOptions = {},
  ): Promise<Told> {
    const until = this.#clock.monotonic() + PATIENCE_MS;
    const answers: PartitionAnswer[] = [];
    const silent = new Map<number, Silence>();
    let open = [...partitions];
    for (let delayMs = FIRST_LOOK_MS; ; delayMs *= 2) {
      const byOwner = this.#byOwner(open);
      const orphans = byOwner.get("") ?? [];
      byOwner.delete("");
      const asked = await Promise.all(
        Array.from(byOwner, ([owner, own]) => this.#askOne(owner, own, query, after)),
      );
      open = patient ? orphans : [];
      if (!patient) for (const partition of orphans) silent.set(partition, "nobody");
      for (const one of asked) {
        answers.push(...one.answers);
        for (const partition of one.silent) silent.set(partition, "silent");
        open.push(...one.notMine);
      }
      if (open.length === 0) return { answers, silent };
      if (this.#clock.monotonic() + delayMs > until) break;
      await new Promise<void>((resolve) => void this.#clock.after(delayMs, resolve));
    }
    for (const partition of open) {
      silent.set(partition, this.#leases.ownerOf(partition) === "" ? "nobody" : "silent");
    }
    return { answers, silent };
  }

  /**
   * The same, where every partition counts.
   * @throws HoldfastError `unavailable` when one is silent: an answer without it would be wrong.
   */
  async askExactly(
    query: Query,
    partitions: Iterable<number>,
    after = "",
  ): Promise<PartitionAnswer[]> {
    const { answers, silent } = await this.ask(query, partitions, { after, patient: true });
    for (const [partition, why] of silent) throw silence(partition, why);
    return answers;
  }

  /** Under "" those that have no owner. */
  #byOwner(open: readonly number[]): Map<string, number[]> {
    const byOwner = new Map<string, number[]>();
    for (const partition of open) {
      const owner = this.#leases.ownerOf(partition);
      const own = byOwner.get(owner);
      if (own === undefined) byOwner.set(owner, [partition]);
      else own.push(partition);
    }
    return byOwner;
  }

  /** All that one projector has to say, message after message. */
  async #askOne(
    owner: string,
    partitions: number[],
    query: Query,
    begin: string,
  ): Promise<OneTold> {
    const told: OneTold = { answers: [], silent: [], notMine: [] };
    let own = partitions;
    let after = begin;
    for (;;) {
      const answer = await this.#request(owner, { body: query, partitions: own, after });
      const lost = answer === undefined ? own : [...answer.notMine, ...answer.unavailable];
      if (told.answers.length > 0 && lost.length > 0) {
        // What it has said by now is a part of the whole. All of it is asked again.
        return { answers: [], silent: [], notMine: partitions };
      }
      told.silent.push(...(answer?.unavailable ?? own));
      told.notMine.push(...(answer?.notMine ?? []));
      if (answer === undefined) return told;
      told.answers.push(answer);
      // A page is all that was wanted of the members.
      if (answer.rest === undefined || query.case === "members") return told;
      after = answer.rest;
      if (lost.length > 0) own = own.filter((partition) => !lost.includes(partition));
    }
  }

  async #request(
    owner: string,
    question: MessageInitShape<typeof PartitionQuerySchema>,
  ): Promise<PartitionAnswer | undefined> {
    if (this.#clock.monotonic() < (this.#pausedUntil.get(owner) ?? 0)) return undefined;
    const query = create(PartitionQuerySchema, { ...question, waitMs: PATIENCE_MS });
    try {
      const answer = await this.#messages.request(
        projectorQuerySubject(owner),
        toBinary(PartitionQuerySchema, query),
        PATIENCE_MS + ANSWER_MS,
      );
      this.#pausedUntil.delete(owner);
      return fromBinary(PartitionAnswerSchema, answer);
    } catch (reason) {
      const { code } = HoldfastError.from(reason);
      if (code === "timeout") {
        this.#pausedUntil.set(owner, this.#clock.monotonic() + PAUSE_AFTER_TIMEOUT_MS);
      } else if (code !== "unavailable") {
        throw reason;
      }
      return undefined;
    }
  }
}

interface OneTold {
  answers: PartitionAnswer[];
  silent: number[];
  notMine: number[];
}

function silence(partition: number, why: Silence): HoldfastError {
  const what =
    why === "nobody"
      ? `nobody owns partition ${partition} at the moment`
      : `the owner of partition ${partition} cannot tell at the moment`;
  return new HoldfastError("unavailable", `${what}; try again in some seconds`);
}
