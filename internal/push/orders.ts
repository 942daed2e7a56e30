import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { OrderSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import {
  type DeviceResult,
  DeviceResult_Status as Status,
} from "../../proto/gen/holdfast/directory/v1/directory_pb.ts";
import { nodeControlSubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import type { Resolver } from "./resolver.ts";
import { locationOf } from "./route-cache.ts";

type Order = NonNullable<MessageInitShape<typeof OrderSchema>["body"]>;

export interface OrdersOptions {
  messages: Messages;
  resolver: Resolver;
}

/** Orders about devices, to the nodes that hold their connections. */
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
    const routes = await this.#resolver.routesOf(app, devices);
    return devices.map((device, i) => {
      const route = routes[i];
      if (route === undefined) return result(device, Status.UNKNOWN);
      const location = locationOf(route);
      if (location === undefined) return result(device, Status.OFFLINE);
      const body = order(location.counter);
      const payload = toBinary(OrderSchema, create(OrderSchema, { body }));
      this.#messages.publish(nodeControlSubject(location.node), payload);
      return result(device, Status.DONE);
    });
  }
}

function result(device: string, status: Status): DeviceResult {
  return { $typeName: "holdfast.directory.v1.DeviceResult", device, status };
}
