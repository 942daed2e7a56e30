import { create, toBinary } from "@bufbuild/protobuf";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { logSubject } from "../../streams/subjects.ts";
import type { Appender } from "../bus/contract.ts";
import type { Clock } from "../clock/clock.ts";
import type { Logger } from "../observe/logger.ts";
import type { RouteTable } from "./fold/route-table.ts";
import type { Hearing } from "./hearing.ts";

/** A node that is silent for this long is dead, and hears so from the log. */
export const NODE_SILENCE_MS = 5_000;
/** By then whatever there was to say about a silent node has been said. */
const FORGET_MS = 60_000;

export interface NodeLivenessOptions {
  clock: Clock;
  hearing: Hearing;
  /** Used by nobody else. */
  appender: Appender;
  log: Pick<Logger, "info">;
}

/** Declares silent access nodes dead, in the log of each partition that this projector owns. */
export class NodeLiveness {
  readonly #options: NodeLivenessOptions;
  /** When each incarnation was last heard, in monotonic ms. */
  readonly #heard = new Map<string, number>();
  /** What is on its way to the logs, as "<partition> <incarnation>". */
  readonly #declaring = new Set<string>();

  constructor(options: NodeLivenessOptions) {
    this.#options = options;
  }

  /** What was not stored yet is not said: the silent ones are judged again. */
  takeBack(): void {
    this.#options.appender.discard();
    this.#declaring.clear();
  }

  heard(incarnation: string): void {
    this.#heard.set(incarnation, this.#options.clock.monotonic());
  }

  /** Looks for silent nodes among those heard before and those in the tables of live partitions. */
  tick(owned: readonly { partition: number; table: RouteTable }[]): void {
    const { clock, hearing } = this.#options;
    const now = clock.monotonic();
    for (const { table } of owned) {
      for (const incarnation of table.nodes.keys()) {
        // In the log, and not heard yet by this projector: its time begins now.
        if (!this.#heard.has(incarnation)) this.#heard.set(incarnation, now);
      }
    }
    for (const [incarnation, heardAt] of this.#heard) {
      const silence = hearing.silence(heardAt);
      if (silence < NODE_SILENCE_MS) continue;
      for (const { partition, table } of owned) {
        if (!table.dead.has(incarnation)) this.#declareDead(partition, incarnation, table);
      }
      if (silence > FORGET_MS) this.#heard.delete(incarnation);
    }
  }

  #declareDead(partition: number, incarnation: string, { nodes }: RouteTable): void {
    const key = `${partition} ${incarnation}`;
    if (this.#declaring.has(key)) return;
    this.#declaring.add(key);
    const { clock, appender, log } = this.#options;
    const record = create(RecordSchema, {
      atMs: BigInt(clock.now()),
      body: { case: "nodeDown", value: { incarnation } },
    });
    // A node that has stopped as it should has none any more, and this is a formality.
    const connections = nodes.get(incarnation)?.held.size ?? 0;
    if (connections > 0) {
      log.info({ partition, incarnation, connections }, "the node is silent and declared dead");
    }
    appender.appendFirst(
      logSubject(partition, "node-down", incarnation),
      toBinary(RecordSchema, record),
      () => this.#declaring.delete(key),
    );
  }
}
