import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Beat, OrderSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { nodeControlSubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import type { NodeRegistry } from "../nodes/registry.ts";
import { HoldfastError } from "../status/errors.ts";

/** How long a drain spreads the closing of connections when the order does not say. */
const DRAIN_OVER_SECONDS = 60;

/** Orders to whole nodes. */
export class NodeOrders {
  readonly #nodes: NodeRegistry;
  readonly #messages: Messages;

  constructor(nodes: NodeRegistry, messages: Messages) {
    this.#nodes = nodes;
    this.#messages = messages;
  }

  /** The live nodes, with what their newest beats say. */
  list(): Beat[] {
    return this.#nodes.list();
  }

  /**
   * `node`: an incarnation, or a name. @returns the incarnations that were given the order.
   * @throws HoldfastError `not-found`
   */
  drain(node: string, overSeconds = DRAIN_OVER_SECONDS): string[] {
    return this.#give(node, { case: "drain", value: { overMs: overSeconds * 1_000 } });
  }

  undrain(node: string): string[] {
    return this.#give(node, { case: "undrain", value: {} });
  }

  #give(node: string, body: MessageInitShape<typeof OrderSchema>["body"] & object): string[] {
    const found = this.#nodes.find(node).map((beat) => beat.incarnation);
    if (found.length === 0) {
      throw new HoldfastError("not-found", `node: no live node is called ${node}`);
    }
    const order = toBinary(OrderSchema, create(OrderSchema, { body }));
    for (const incarnation of found) {
      this.#messages.publish(nodeControlSubject(incarnation), order);
    }
    return found;
  }
}
