import type { Mailbox, Receipts } from "../../internal/bus/contract.ts";
import { LinedAppender } from "../../internal/bus/keyed-appender.ts";
import { Projector } from "../../internal/projector/service.ts";
import type { BucketName } from "../../streams/layout.ts";
import type { Broker } from "./broker.ts";
import { SimAppender, SimBucket, SimLogReader, SimMessages } from "./client.ts";
import { SimConnection } from "./connection.ts";
import { SimHeartbeat } from "./heartbeat.ts";
import { SimProcess } from "./process.ts";

const NO_MAIL: Mailbox = {
  put: () => {},
  forget: () => {},
  list: async function* () {},
  load: async () => new Map(),
  purge: async () => {},
};
const NO_RECEIPTS: Receipts = { write: () => {}, read: async () => [] };

/** Small, so that a run has many. */
const SNAPSHOT_LIMITS = { records: 8, everyMs: 2_000 };

/** A projector process: the real service over simulated adapters. */
export class SimProjector {
  readonly process: SimProcess;
  readonly connection: SimConnection;
  readonly heartbeat: SimHeartbeat;
  readonly appender: SimAppender;
  readonly state: SimAppender;
  readonly projector: Projector;

  /** `note`: what to note with a write of a key, when it is sent. */
  constructor(
    name: string,
    broker: Broker,
    partitions: number,
    note: (writer: string, key: string) => number,
    warn: (text: string) => void,
  ) {
    this.process = new SimProcess(broker.world, name);
    this.connection = new SimConnection(this.process, broker);
    this.heartbeat = new SimHeartbeat(this.process.thread(), broker);
    this.appender = new SimAppender(this.connection);
    this.state = new SimAppender(this.connection);
    const bucket = (bucketName: BucketName) =>
      new SimBucket(this.connection, bucketName, (key) => note(name, key));
    this.projector = new Projector({
      id: name,
      partitions,
      clock: this.process.clock,
      log: { info: () => {}, warn: (_: unknown, text?: string) => warn(text ?? "") },
      appender: this.appender,
      state: new LinedAppender(this.state),
      held: [this.state],
      reader: new SimLogReader(this.connection),
      buckets: {
        route: bucket("hf_route"),
        user: bucket("hf_user"),
        lease: bucket("hf_lease"),
        checkpoint: bucket("hf_checkpoint"),
        snapshot: bucket("hf_snapshot"),
      },
      // Nobody pushes here: test/sim/delivery is about must-arrive messages.
      delivery: { mailbox: NO_MAIL, receipts: NO_RECEIPTS, marks: bucket("hf_mailbox") },
      messages: new SimMessages(this.connection),
      link: this.connection,
      snapshotLimits: SNAPSHOT_LIMITS,
      heartbeat: this.heartbeat,
    });
    void this.projector.start();
  }

  /** As on SIGTERM: hands over, then ends. */
  async stop(): Promise<void> {
    await this.projector[Symbol.asyncDispose]();
    this.process.world.after(20, () => this.kill());
  }

  /** Records that are not stored. */
  get unstored(): number {
    return this.appender.backlog + this.state.backlog;
  }

  kill(): void {
    this.process.kill();
    for (const connection of [this.connection, this.heartbeat.connection]) {
      connection.broker.connections.delete(connection);
      connection.broker.dropped(connection);
    }
  }
}
