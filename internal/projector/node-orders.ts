import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { OrderSchema } from "../../proto/gen/holdfast/cluster/v1/cluster_pb.ts";
import { ALL_NODES_SUBJECT, nodeControlSubject } from "../../streams/subjects.ts";
import type { Messages } from "../bus/contract.ts";
import { CLOSE } from "../status/close.ts";

/** What the owner of one partition orders of access nodes. Orders may get lost; digests find that out. */
export class NodeOrders {
  readonly #messages: Messages;
  readonly #partition: number;

  constructor(messages: Messages, partition: number) {
    this.#messages = messages;
    this.#partition = partition;
  }

  /** Close a connection whose device has a newer one. */
  kick(incarnation: string, counter: number): void {
    const kick = { connection: BigInt(counter), code: CLOSE.replaced.code, reason: "replaced" };
    this.#send(nodeControlSubject(incarnation), { case: "kick", value: kick });
  }

  /** Tell the log of every connection of this partition. */
  announce(incarnation: string): void {
    const value = { partition: this.#partition };
    this.#send(nodeControlSubject(incarnation), { case: "announce", value });
  }

  /** All nodes: tell the log what you hold, for comparison. */
  compare(): void {
    this.#send(ALL_NODES_SUBJECT, { case: "sendDigest", value: { partition: this.#partition } });
  }

  #send(subject: string, body: MessageInitShape<typeof OrderSchema>["body"] & object): void {
    this.#messages.publish(subject, toBinary(OrderSchema, create(OrderSchema, { body })));
  }
}
