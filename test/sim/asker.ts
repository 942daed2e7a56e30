import { fromBinary } from "@bufbuild/protobuf";
import { fold } from "../../internal/projector/fold/fold.ts";
import { RouteTable } from "../../internal/projector/fold/route-table.ts";
import { Leases } from "../../internal/push/leases.ts";
import { PartitionOwners } from "../../internal/push/owners.ts";
import { Resolver } from "../../internal/push/resolver.ts";
import { RecordSchema } from "../../proto/gen/holdfast/log/v1/log_pb.ts";
import { partitionOf } from "../../streams/partition.ts";
import type { Route } from "../../streams/records.ts";
import type { Broker, StoredRecord } from "./broker.ts";
import { SimBucket, SimMessages } from "./client.ts";
import { SimConnection } from "./connection.ts";
import { SimProcess } from "./process.ts";

/**
 * A push role that asks where devices are: the real resolver over simulated adapters. Beside it the whole
 * log is folded as it is stored. What that says from a question to its answer, the answer must say
 * too: a device that was told to be welcome is never told to be offline.
 */
export class SimAsker {
  readonly #broker: Broker;
  readonly #partitions: number;
  readonly #violate: (text: string) => void;
  readonly #tables: RouteTable[];
  readonly #process: SimProcess;
  #resolver: Resolver | undefined;
  answered = 0;
  /** Nobody could tell. */
  refused = 0;

  constructor(broker: Broker, partitions: number, violate: (text: string) => void) {
    this.#broker = broker;
    this.#partitions = partitions;
    this.#violate = violate;
    this.#tables = Array.from({ length: partitions }, () => new RouteTable());
    this.#process = new SimProcess(broker.world, "asker");
    const connection = new SimConnection(this.#process, broker);
    const bucket = (name: "hf_lease" | "hf_route" | "hf_user") =>
      new SimBucket(connection, name, () => 0);
    void Leases.follow(bucket("hf_lease")).then((leases) => {
      const { clock } = this.#process;
      const messages = new SimMessages(connection);
      const owners = new PartitionOwners({ messages, partitions, leases, clock });
      this.#resolver = new Resolver({
        owners,
        routes: bucket("hf_route"),
        users: bucket("hf_user"),
      });
    });
  }

  stored({ partition, sequence, data }: StoredRecord): void {
    const table = this.#tables[partition];
    if (table !== undefined) fold(table, sequence, fromBinary(RecordSchema, data), []);
  }

  /** `strict`: no record was ever taken away, so the log says what it was seen to say. */
  async ask(device: string, strict: () => boolean): Promise<void> {
    const before = this.#route(device);
    const askedAt = this.#broker.world.now;
    let route: Route | undefined;
    try {
      const routes = await this.#resolver?.routesOf("demo", [device]);
      if (routes === undefined) return;
      route = routes[0];
    } catch {
      this.refused += 1;
      return;
    }
    this.answered += 1;
    const [is, told] = [whereaboutsOf(before), whereaboutsOf(route)];
    if (before !== this.#route(device) || told === is || !strict()) return;
    const took = Math.round(this.#broker.world.now - askedAt);
    this.#violate(`${device} is ${is} by the log, and was told to be ${told} after ${took} ms`);
  }

  /** By the log; another object after each change. */
  #route(device: string): Route | undefined {
    const table = this.#tables[partitionOf("demo", device, this.#partitions)];
    return table?.device("demo", device)?.route;
  }
}

/** The connection of a device that is online; whether one that is not is known at all, buckets may forget. */
function whereaboutsOf(route: Route | undefined): string {
  return route?.online === true ? route.connection : "offline";
}
