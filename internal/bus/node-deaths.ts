import { jetstreamManager } from "@nats-io/jetstream";
import { logStream } from "../../streams/layout.ts";
import { nodeDownFilter } from "../../streams/subjects.ts";
import type { Connection } from "./connect.ts";
import type { NodeDeaths } from "./contract.ts";
import { natsError } from "./nats-errors.ts";

export class NatsNodeDeaths implements NodeDeaths {
  readonly #connection: Connection;
  readonly #logStreams: number;

  /** `logStreams`: how many streams carry the log, a constant of the deployment. */
  constructor(connection: Connection, logStreams: number) {
    this.#connection = connection;
    this.#logStreams = logStreams;
  }

  async isDead(incarnation: string): Promise<boolean> {
    const last_by_subj = nodeDownFilter(incarnation);
    try {
      const jsm = await jetstreamManager(this.#connection.nc, { checkAPI: false });
      const found = await Promise.all(
        Array.from({ length: this.#logStreams }, (_, stream) =>
          jsm.streams.getMessage(logStream(stream, this.#logStreams), { last_by_subj }),
        ),
      );
      return found.some((message) => message?.seq !== undefined);
    } catch (reason) {
      throw natsError(`cannot ask whether ${incarnation} is over`, reason);
    }
  }
}
