import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { OrderAnswerSchema, OrderSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  type DeviceResult,
  DeviceResult_Status as Status,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { nodeControlSubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import type { Resolver } from "./resolver.ts";
import { type Location, locationOf } from "./route-cache.ts";

type Order = NonNullable<MessageInitShape<typeof OrderSchema>["body"]>;

const ANSWER_MS = 3_000;
/** Orders of one call that are unanswered at a time. */
const WINDOW = 512;

export interface OrdersOptions {
  messages: Messages;
  resolver: Resolver;
}

/**
 * Orders about devices, to the nodes that hold their connections. A node says whether it has taken an
 * order, so that what is told as done is done.
 */
export class Orders {
  readonly #messages: Messages;
  readonly #resolver: Resolver;

  constructor(options: OrdersOptions) {
    this.#messages = options.messages;
    this.#resolver = options.resolver;
  }

  /** One order for each device that is online now. Results are in the order of the devices. */
  async give(
    app: string,
    devices: readonly string[],
    order: (connection: bigint) => Order,
  ): Promise<DeviceResult[]> {
    const results: DeviceResult[] = [];
    for (let start = 0; start < devices.length; start += WINDOW) {
      const part = devices.slice(start, start + WINDOW);
      const routes = await this.#resolver.routesOf(app, part);
      const given = part.map(async (device, i) => {
        const route = routes[i];
        if (route === undefined) return result(device, Status.UNKNOWN);
        return result(device, await this.#giveTo(app, device, locationOf(route), order));
      });
      results.push(...(await Promise.all(given)));
    }
    return results;
  }

  async #giveTo(
    app: string,
    device: string,
    location: Location | undefined,
    order: (connection: bigint) => Order,
  ): Promise<Status> {
    if (location === undefined) return Status.OFFLINE;
    const first = await this.#ask(location, order);
    if (first !== Status.OFFLINE) return first;
    // It has left that node a moment ago, and may be at another by now.
    const [route] = await this.#resolver.routesOf(app, [device]);
    const now = route && locationOf(route);
    const same = now?.node === location.node && now.counter === location.counter;
    return now === undefined || same ? Status.OFFLINE : this.#ask(now, order);
  }

  async #ask({ node, counter }: Location, order: (connection: bigint) => Order): Promise<Status> {
    const payload = toBinary(OrderSchema, create(OrderSchema, { body: order(counter) }));
    try {
      const answer = await this.#messages.request(nodeControlSubject(node), payload, ANSWER_MS);
      return fromBinary(OrderAnswerSchema, answer).taken ? Status.DONE : Status.OFFLINE;
    } catch {
      return Status.UNAVAILABLE;
    }
  }
}

function result(device: string, status: Status): DeviceResult {
  return { $typeName: "holdfast.directory.v1.DeviceResult", device, status };
}
