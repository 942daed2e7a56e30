import type { ReadRecord } from "../../../streams/records.ts";
import { SimProcess } from "../process.ts";
import type { DeliveryCluster } from "./cluster.ts";
import { SimMailbox } from "./mailbox.ts";

/** A projector process: what outlives its ownership of the partition. */
export class SimProjector {
  readonly process: SimProcess;
  readonly mailbox: SimMailbox;
  readonly lastRead = new Map<number, ReadRecord>();

  constructor(name: string, cluster: DeliveryCluster) {
    this.process = new SimProcess(cluster.world, name);
    this.mailbox = new SimMailbox(cluster, this.process);
  }
}
