import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { logStream } from "../../streams/layout.ts";
import { logPartitionFilter } from "../../streams/subjects.ts";
import type { Connection } from "./connect.ts";
import type { LogHandler, LogReader, Reading } from "./contract.ts";
import { natsError } from "./nats-errors.ts";
import { OrderedConsumer } from "./ordered-consumer.ts";
import { storedAt } from "./stored-at.ts";

/**
 * Reads the log's partitions. Several share a stream, so their sequences have gaps.
 *
 * The data given to a handler is a part of what was read from the socket at once: who keeps some of
 * it for long keeps all of that, up to 64 KiB, unless he copies.
 */
export class NatsLogReader implements LogReader {
  readonly #connection: Connection;
  readonly #logStreams: number;
  #manager: Promise<JetStreamManager> | undefined;

  /** `logStreams`: how many streams carry the log, a constant of the deployment. */
  constructor(connection: Connection, logStreams: number) {
    this.#connection = connection;
    this.#logStreams = logStreams;
  }

  read(partition: number, after: number, handler: LogHandler): Reading {
    return new OrderedConsumer(
      this.#connection,
      {
        stream: logStream(partition, this.#logStreams),
        filter: logPartitionFilter(partition),
        start: { after },
        complete: true,
      },
      {
        message: (sequence, message, storedAtMs) =>
          handler.record(sequence, message.data, storedAtMs),
        broken: (why) => handler.lost(why),
      },
    );
  }

  async holds(partition: number, sequence: number, storedAtMs: number): Promise<boolean> {
    const stream = logStream(partition, this.#logStreams);
    try {
      const jsm = await jetstreamManager(this.#connection.nc, { checkAPI: false });
      const found = await storedAt(jsm, stream, sequence);
      if (found !== undefined) return found === storedAtMs;
      return (await jsm.streams.info(stream)).state.last_seq >= sequence;
    } catch (reason) {
      throw natsError(`cannot look at the end of partition ${partition}`, reason);
    }
  }

  async lastSequence(partition: number): Promise<number> {
    const stream = logStream(partition, this.#logStreams);
    const last_by_subj = logPartitionFilter(partition);
    try {
      this.#manager ??= jetstreamManager(this.#connection.nc, { checkAPI: false });
      const { streams } = await this.#manager;
      // Asks the leader: a copy may lag behind.
      return (await streams.getMessage(stream, { last_by_subj }))?.seq ?? 0;
    } catch (reason) {
      throw natsError(`cannot read the end of partition ${partition}`, reason);
    }
  }
}
